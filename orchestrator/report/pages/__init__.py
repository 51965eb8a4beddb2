"""The report as people read it: ``report.html`` for the incident's file, Markdown for the incident's channel.

``view`` and ``timeline`` read what is shown from the journal, ``charts`` turns it into shapes, ``html`` and
``markdown`` write it. Only ``environment`` imports jinja2.
"""
