#!/usr/bin/env python3
"""Runs SQL in the application's place: Python's own SQLite, which is older than slipway's.

    statements.py DB < {"pragmas": {"foreign_keys": 1}, "statements": [["INSERT INTO t VALUES (?)", [1]], ...]}

Prints one JSON array with an outcome for each statement: {"rows": [...], "changes": 1, "rowid": 7} or
{"error": {"class": "IntegrityError", "name": "SQLITE_CONSTRAINT_UNIQUE", "message": "..."}}. An error ends
neither the script nor a transaction that SQLite has left open. A parameter or a value that JSON cannot carry
is {"hex": "00ff"} for bytes, {"real": "inf"} for a double, {"integer": "9223372036854775807"}.

`["BLOB_WRITE", [table, column, rowid, "hex"]]` writes through sqlite3_blob_write, `["SLEEP", [seconds]]` waits,
`["COPY_FILES", [to]]` copies the files of the database as they lie there (by `cp`: a process of its own, since
closing the file here would drop SQLite's locks).
"""

import json
import math
import os
import sqlite3
import subprocess
import sys
import time


def decode(value):
    if isinstance(value, dict):
        if 'hex' in value:
            return bytes.fromhex(value['hex'])
        if 'real' in value:
            return float(value['real'])
        return int(value['integer'])
    return value


def encode(value):
    if isinstance(value, bytes):
        return {'hex': value.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return {'real': str(value)}
    if isinstance(value, int) and abs(value) > 2**53:
        return {'integer': str(value)}
    return value


def run(db, sql, parameters):
    if sql == 'SLEEP':
        time.sleep(parameters[0])
        return {'rows': [], 'changes': 0, 'rowid': 0}
    if sql == 'COPY_FILES':
        for suffix in ('', '-wal'):
            if os.path.exists(sys.argv[1] + suffix):
                subprocess.run(['cp', sys.argv[1] + suffix, parameters[0] + suffix], check=True)
        return {'rows': [], 'changes': 0, 'rowid': 0}
    if sql == 'BLOB_WRITE':
        table, column, rowid, data = parameters
        with db.blobopen(table, column, rowid) as blob:
            blob.write(bytes.fromhex(data))
        return {'rows': [], 'changes': 0, 'rowid': 0}
    cursor = db.execute(sql, [decode(value) for value in parameters])
    rows = [[encode(value) for value in row] for row in cursor.fetchall()]
    return {'rows': rows, 'changes': cursor.rowcount, 'rowid': cursor.lastrowid}


def main():
    task = json.load(sys.stdin)
    db = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
    # Bytes that are no UTF-8 are values here, not errors of the reader.
    db.text_factory = lambda raw: raw.decode('utf-8', 'surrogateescape')
    for name, value in task.get('pragmas', {}).items():
        db.execute(f'PRAGMA {name} = {value}')
    outcomes = []
    for sql, parameters in task['statements']:
        start = time.monotonic()
        try:
            outcome = run(db, sql, parameters)
        except sqlite3.Error as error:
            name = getattr(error, 'sqlite_errorname', '')
            outcome = {'error': {'class': type(error).__name__, 'name': name, 'message': str(error)}}
        outcome['ms'] = round((time.monotonic() - start) * 1000, 2)
        outcomes.append(outcome)
    db.close()
    json.dump(outcomes, sys.stdout)


if __name__ == '__main__':
    main()
