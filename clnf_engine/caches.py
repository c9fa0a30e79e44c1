"""Caches of what is computed from a model, forgotten together with the model."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def remembered(function: _Function) -> _Function:
    """Remember what a function made of its only argument, as long as that lives.

    Parameters
    ----------
    function : callable
        Of one argument that can be hashed and weakly referenced.

    Returns
    -------
    callable
    """
    known: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    @wraps(function)
    def remembering(argument: Any) -> Any:
        if argument not in known:
            known[argument] = function(argument)
        return known[argument]

    return remembering  # type: ignore[return-value]


def cached_with_owner(maxsize: int) -> Callable[[_Function], _Function]:
    """Cache a function like `functools.lru_cache`, but apart for every first argument, and only while that lives.

    Parameters
    ----------
    maxsize : int
        How many results are kept of each first argument.

    Returns
    -------
    callable
        The decorator. Its function takes an owner that can be hashed and weakly referenced, and hashable arguments.
    """

    def decorate(function: _Function) -> _Function:
        caches: weakref.WeakKeyDictionary[Any, Callable[..., Any]] = weakref.WeakKeyDictionary()

        @wraps(function)
        def cached(owner: Any, *arguments: Hashable) -> Any:
            found = caches.get(owner)
            if found is None:
                found = caches.setdefault(owner, _cache_of(function, weakref.ref(owner), maxsize))
            return found(*arguments)

        return cached  # type: ignore[return-value]

    return decorate


def _cache_of(function: Callable[..., Any], owner: weakref.ref[Any], maxsize: int) -> Callable[..., Any]:
    """The cache of one owner, which it does not keep alive."""
    return lru_cache(maxsize)(lambda *arguments: function(owner(), *arguments))
