"""Owners of files: whether they are trusted, and their names."""

import grp
import os
import pwd


def is_foreign(file: os.stat_result) -> bool:
    """Return whether ``file`` belongs to neither this user nor root."""
    return file.st_uid not in (0, os.geteuid())


def user_name(number: int) -> str:
    """Return the name of a user with its number, or the number alone if it has no name on this machine."""
    try:
        return f"{pwd.getpwuid(number).pw_name} (user {number})"
    except KeyError:
        return f"user {number}"


def group_name(number: int) -> str:
    """Return the name of a group, or its number if it has no name on this machine."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
