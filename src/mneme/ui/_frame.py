"""What surrounds every page: a name, and the way to other pages."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Frame", "Link"]


class Link(NamedTuple):
    """An entry of the navigation."""

    title: str
    path: str
    """Absolute, and without the host. `{at}` in it stands for where the application is mounted."""


class Frame(NamedTuple):
    """The name at the top of every page, and the navigation beside it."""

    name: str
    home: str = "{at}/"
    links: tuple[Link, ...] = ()
    note: str = ""
    """A line at the foot of every page."""

    def at(self, root: str) -> Frame:
        """The same, for an application that is mounted under *root*."""
        links = tuple(Link(link.title, link.path.replace("{at}", root)) for link in self.links)
        return self._replace(home=self.home.replace("{at}", root), links=links)

    def current(self, path: str) -> str | None:
        """The path of the link whose page *path* is part of: the longest that it begins with."""
        fits = [link.path for link in self.links if path == link.path or path.startswith(link.path.rstrip("/") + "/")]
        exact = [link for link in fits if link != self.home or path == self.home]
        return max(exact, key=len, default=None)
