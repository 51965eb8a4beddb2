"""Durations as text, in the notation of the options: ``80ms``, ``10m``. No other module formats durations."""


def show_duration(seconds: float) -> str:
    """Return the exact duration as an option has it: ``90`` is ``1m30s``."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{value:g}{unit}" for value, unit in parts if value) or "0s"


def show_rounded(seconds: float) -> str:
    """As :func:`show_duration`, to a tenth of a second, or to a second from a minute on."""
    return show_duration(round(seconds, 1) if seconds < 60 else round(seconds))


def duration(seconds: float) -> str:
    """Return the two largest units, for a screen: ``0.4s``, ``8s``, ``4m10s``, ``2h05m``, ``3d04h``."""
    whole = round(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    for unit, name, smaller, below in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit:
            return f"{whole // unit}{name}{whole % unit // smaller:02d}{below}"
    return f"{whole}s"


def duration_ms(seconds: float) -> str:
    """As :func:`duration`, but in milliseconds below one second: ``240 ms``."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else duration(seconds)
