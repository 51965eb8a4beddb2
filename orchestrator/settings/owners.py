"""The owner of a file, and the users that could change it."""

import grp
import os
import pwd


def is_foreign(file: os.stat_result) -> bool:
    """Whether ``file`` belongs to neither this user nor root."""
    return file.st_uid not in (0, os.geteuid())


def user_name(number: int) -> str:
    """The name of a user, with the number; the number alone if it has no name here."""
    try:
        return f"{pwd.getpwuid(number).pw_name} (user {number})"
    except KeyError:
        return f"user {number}"


def group_name(number: int) -> str:
    """The name of a group; its number if it has no name here."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
