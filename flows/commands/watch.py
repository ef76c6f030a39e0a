"""`tls-sync watch`: the watcher, as `python -m flows.watch` starts it in its pod."""

from flows.watch import watch as run

__all__ = ["run"]
