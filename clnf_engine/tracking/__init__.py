"""A face through a video: `track` follows it, `journal` keeps it, `output` shows it, `commands` is ``clnf track``."""
