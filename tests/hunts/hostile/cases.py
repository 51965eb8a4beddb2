"""Responses that no tenant should send."""

import struct

STATUS = b'{"success": true, "status": "Stopped", "totalCount": 3}'


def _utf16(text: str) -> bytes:
    return text.encode("utf-16")


def _wells(opening: bytes, closing: bytes, depth: int) -> bytes:
    return opening * depth + closing * depth


BODIES: dict[str, bytes] = {
    # Cut, empty, doubled
    "nothing": b"",
    "a blank": b" ",
    "line ends": b"\r\n\r\n",
    "form feed": b"\x0c",
    "an opening": b"{",
    "a closing": b"}",
    "an opening list": b"[",
    "cut in a name": b'{"succ',
    "cut after a name": b'{"success"',
    "cut after a colon": b'{"success":',
    "cut in a word": b'{"success": tru',
    "cut before the end": b'{"success": true',
    "cut after a comma": b'{"success": true,',
    "cut in an escape": b'{"success": true, "status": "\\',
    "cut in a unicode escape": b'{"success": true, "status": "\\u00',
    "two answers": b'{"success": true}{"success": true}',
    "an answer and a word": b'{"success": true} ok',
    "an answer and a NUL": b'{"success": true}\0',
    # Almost JSON
    "single quotes": b"{'success': true}",
    "no quotes": b"{success: true}",
    "a trailing comma": b'{"success": true,}',
    "a leading comma": b'{,"success": true}',
    "two commas": b'{"success": true,,"status": "Stopped"}',
    "two colons": b'{"success":: true}',
    "an equals sign": b'{"success" = true}',
    "a semicolon": b'{"success": true;}',
    "a comment": b'{"success": true /* sure */}',
    "a line comment": b'{"success": true // sure\n}',
    "a hash comment": b'# fine\n{"success": true}',
    "True": b'{"success": True}',
    "TRUE": b'{"success": TRUE}',
    "yes": b'{"success": yes}',
    "undefined": b'{"success": undefined}',
    "a name that is a number": b'{1: true, "success": true}',
    "a name that is null": b"{null: true}",
    "a brace that never closes": b'{"success": true]',
    "a JSONP call": b'answer({"success": true});',
    "a guard prefix": b')]}\',\n{"success": true}',
    "a query string": b"success=true",
    "XML": b'<?xml version="1.0"?><success>true</success>',
    "an entity bomb": b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>',
    "HTML": b"<!doctype html><title>Sign in</title>",
    "YAML": b"success: true\nstatus: Stopped\n",
    "CSV": b"success,status\ntrue,Stopped\n",
    "base64": b"eyJzdWNjZXNzIjogdHJ1ZX0=",
    "a zip": b"PK\x03\x04\x14\x00",
    "gzip without saying so": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "random bytes": bytes(range(256)),
    # Not the documented type
    "null": b"null",
    "true": b"true",
    "a number": b"200",
    "a text": b'"success"',
    "a list": b'[{"success": true}]',
    "an empty list": b"[]",
    "an empty object": b"{}",
    "success null": b'{"success": null}',
    "success as text": b'{"success": "true"}',
    "success as number": b'{"success": 1}',
    "success as list": b'{"success": [true]}',
    "success as object": b'{"success": {"value": true}}',
    "success misspelt": b'{"Success": true}',
    "success twice, unlike": b'{"success": false, "success": null}',
    "reasons as text": b'{"success": false, "reasons": "no"}',
    "reasons as object": b'{"success": false, "reasons": {"code": 50000050}}',
    "reasons of null": b'{"success": false, "reasons": [null]}',
    "reasons of lists": b'{"success": false, "reasons": [[50000050]]}',
    "code as list": b'{"success": false, "reasons": [{"code": [50000050]}]}',
    "code as fraction": b'{"success": false, "reasons": [{"code": 50000050.5}]}',
    "code as truth": b'{"success": false, "reasons": [{"code": true}]}',
    "message as list": b'{"success": false, "reasons": [{"code": 50000061, "message": ["no"]}]}',
    "process id as number": b'{"success": false, "processId": 7}',
    # Numbers
    "NaN": b'{"success": false, "reasons": [{"code": NaN}]}',
    "Infinity": b'{"success": false, "reasons": [{"code": Infinity}]}',
    "a plus sign": b'{"success": false, "reasons": [{"code": +50000061}]}',
    "leading zeros": b'{"success": false, "reasons": [{"code": 050000061}]}',
    "hexadecimal": b'{"success": false, "reasons": [{"code": 0x10}]}',
    "a bare point": b'{"success": false, "reasons": [{"code": .5}]}',
    "a bare exponent": b'{"success": false, "reasons": [{"code": 1e}]}',
    "a huge exponent": b'{"success": false, "reasons": [{"code": 1e999999}]}',
    "an underscore": b'{"success": false, "reasons": [{"code": 50_000_061}]}',
    "five thousand digits": b'{"success": false, "reasons": [{"code": ' + b"9" * 5_000 + b"}]}",
    "full-width digits": '{"success": false, "reasons": [{"code": ５０}]}'.encode(),
    # Bytes
    "a BOM": b"\xef\xbb\xbf" + STATUS[:-1],
    "UTF-16": _utf16('{"success": true}'),
    "UTF-16 without a BOM": '{"success": true}'.encode("utf-16-le"),
    "UTF-32": '{"success": true}'.encode("utf-32"),
    "Latin-1": '{"success": true, "status": "Stöpped"}'.encode("latin-1"),
    "a lone continuation byte": b'{"success": true, "status": "\x80"}',
    "an overlong slash": b'{"success": true, "status": "\xc0\xaf"}',
    "an encoded surrogate": b'{"success": true, "status": "\xed\xa0\x80"}',
    "beyond Unicode": b'{"success": true, "status": "\xf4\x90\x80\x80"}',
    "a cut character": b'{"success": true, "status": "\xe2\x82',
    "a lone surrogate escape": b'{"success": true, "status": "\\ud800", "x"}',
    "a bad escape": b'{"success": true, "status": "\\x41"}',
    "a raw line end in a text": b'{"success": true, "status": "Stop\nped"}',
    "a raw NUL in a text": b'{"success": true, "status": "Stop\0ped"}',
    "a raw escape character": b'{"success": true, "status": "\x1b[2J"}',
    # Sizes
    "a deep well of lists": _wells(b"[", b"]", 100_000),
    "a deep well of objects": b'{"x":' * 100_000,
    "a deep well in a field": b'{"reasons": ' + _wells(b"[", b"]", 100_000) + b"}",
    "a megabyte of text": b'{"success": "' + b"x" * (1 << 20) + b'"}',
    "a megabyte of blanks": b" " * ((1 << 20) + 1),
    "a hundred thousand names": b"{" + b",".join(b'"%d": 1' % n for n in range(90_000)),
    "a hundred thousand reasons": b'{"success": false, "reasons": [' + b"{}," * 100_000 + b"0]}",
    "binary numbers": struct.pack("<64d", *range(64)),
}
"""Malformed bodies of any response with HTTP 200."""

HEADER_VALUES = (
    "", " ", "-1", "0", "1", "+5", "1.5", "1e9", "0x10", "NaN", "null", "true", "9" * 12, "9" * 400, "\u00b2\u00b3",
    "1,2,3", ";;;", ",,,", "=;=,=", "1;w=", "1;w=0", "0;w=60", "-1;w=60", "1;w=-60", "9;w=" + "9" * 400, "a" * 7_000,
    "5;w=60;w=1;w=86400", "%00", "\t\t", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 9999 99:99:99 XYZ",
    "Fri, 31 Dec 9999 23:59:59 +9999", "<script>", "'; DROP TABLE action; --", "${jndi:ldap://x}", "../../etc/passwd",
    "\x7f", "\x9b31m", "caf\xe9", "text/html;charset=", "gzip, gzip, gzip",
)  # fmt: skip

HEADERS = (
    "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "X-RateLimit-Limit", "Concurrency-Limit-Type",
    "Concurrency-Limit-Limit", "Concurrency-Limit-Remaining", "Retry-After", "Date", "Content-Type", "Content-Language",
    "Set-Cookie", "Location", "Link", "Zuora-Request-Id", "Zuora-Track-Id", "Server", "Via", "Age", "Alt-Svc",
    "Upgrade", "Strict-Transport-Security", "WWW-Authenticate", "ETag", "Keep-Alive", "Trailer",
)  # fmt: skip
