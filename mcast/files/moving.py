"""Moves files and directories to names that nothing else has, and removes directories."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from .names import Siblings


def move(source: Path, target: Path, *, overwrite: bool) -> Path:
    """Move a file or a directory; returns where to. OSError if it fails.

    What is at `target` stays, and a number is added to the name. With `overwrite` files are replaced, and
    directories get what they lack; but nothing is replaced by something of another kind, and no link is
    followed.
    """
    while True:
        try:
            if overwrite and os.path.lexists(target):
                _replace(source, target)
            elif _is_directory(source):
                _move_directory(source, target)
            else:
                _move_file(source, target)
            return target
        except FileExistsError:
            siblings = Siblings(os.listdir(target.parent), case=case_matters(source.parent))
            target = target.with_name(siblings.add(target.name))


def remove_tree(path: Path) -> None:
    """Remove a file, or a directory with all that is in it, as far as that is possible."""
    with contextlib.suppress(OSError):
        if _is_directory(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)


def case_matters(directory: Path) -> bool:
    """Whether the file system tells names apart that differ in case only. The directory must have a name."""
    other = directory.with_name(directory.name.swapcase())
    try:
        return not os.path.samefile(directory, other)
    except OSError:
        return True


def _is_directory(path: Path) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _replace(source: Path, target: Path) -> None:
    if _is_directory(source) != _is_directory(target):
        raise FileExistsError
    if not _is_directory(source):
        os.replace(source, target)
        return
    for name in os.listdir(source):
        move(source / name, target / name, overwrite=True)
    os.rmdir(source)


def _move_directory(source: Path, target: Path) -> None:
    if os.name != "nt":
        os.mkdir(target)  # fails if there is anything, which rename(2) does not for an empty directory
    os.rename(source, target)


def _move_file(source: Path, target: Path) -> None:
    if os.name == "nt":
        os.rename(source, target)
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # the file system has no links: take the name first
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.replace(source, target)
    else:
        os.unlink(source)
