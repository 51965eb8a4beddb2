"""``report.html``: one file with everything in it, written piece by piece so that memory does not grow with the keys.

The actions travel as JSON in blocks of script elements that no browser runs; the page's own script shows them a page at
a time. Before that, or without scripts, a reader sees plain HTML. Every text passes
:func:`~orchestrator.printable.printable`, and then Jinja2's autoescaping or the JSON.
"""

import hashlib
import shlex
from pathlib import Path
from zlib import decompress

from orchestrator.journal.reader import JournalReader
from orchestrator.printable import printable
from orchestrator.report import Write, write_json
from orchestrator.report.pages.breakdowns import NO_TYPE
from orchestrator.report.pages.charts import draw
from orchestrator.report.pages.environment import in_script, part, policy, safe_json, template
from orchestrator.report.pages.rows import Row, select
from orchestrator.report.pages.timeline import read_timeline
from orchestrator.report.pages.view import View, read_view
from orchestrator.report.wording import OUTCOMES, group_of
from orchestrator.results.index import FOLDERS, LEFT_OUT, PAYMENTS, read_index


def write_html(reader: JournalReader, write: Write, directory: Path, sha256: str | None) -> None:
    """Writes the page of the run in ``directory`` to ``write``.

    ``sha256`` is of the ``report.json`` made from this journal; None where there is none.
    """
    quoted = shlex.quote(str(directory))
    view = read_view(reader)
    timeline = read_timeline(reader)
    selection = select(reader, view.actions, view.groups["person"])
    # A run at work writes its other files at its end. Until then, those of an earlier session are outdated.
    ended = view.run.state != "running"
    pieces = template().generate(
        view=view,
        index=read_index(directory) if ended else None,
        folders=FOLDERS,
        payments=PAYMENTS,
        left_out=LEFT_OUT,
        beside=[name for name in (*["needs-person.csv"] * ended, "run.log") if (directory / name).is_file()],
        timeline=timeline,
        charts=draw(timeline, view.summary.keys, planning=view.run.command == "plan"),
        directory=printable(quoted),
        steps=view.next_steps(quoted),
        report_sha256=sha256,
        style=part("page.css"),
        script=part("page.js"),
        policy=policy(),
        blank=Row(),
        unknown=NO_TYPE,
        selection=selection,
        blocks=(in_script(decompress(block)) for block in selection.blocks),
        setup=_setup(view),
    )
    for piece in pieces:
        write(piece.encode("utf-8"))


def report_sha256(reader: JournalReader) -> str:
    """The hash of the ``report.json`` that this journal makes, not of a file of that name."""
    digest = hashlib.sha256()
    write_json(reader, digest.update)
    return digest.hexdigest()


def _setup(view: View) -> str:
    """Names and numbers for the page's script."""
    return in_script(
        safe_json(
            {
                "fields": Row.__struct_fields__,
                "titles": {outcome.value: words.title for outcome, words in OUTCOMES.items()},
                "groups": {outcome.value: group_of(outcome) for outcome in OUTCOMES},
                "actions": view.actions,
                "sources": len(view.run.sources),
                "unknown": NO_TYPE,
            }
        )
    )
