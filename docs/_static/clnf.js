// A click on a picture shows it in its own size.
document.addEventListener("click", (event) => {
  if (event.target.matches(".bd-article :not(a) > img")) window.open(event.target.currentSrc || event.target.src);
});
