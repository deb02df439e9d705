#!/usr/bin/env python3
"""Python's own SQLite at the service of a writer: one transaction a line, an application like any other.

    sqlite-hand.py DB [BUSY_MS]

A request is a line of JSON: {"statements": [["INSERT ...", [1]], ...], "end": "commit", "hold": 0}. It begins with
BEGIN IMMEDIATE, unless a transaction was kept open. `end`: commit, rollback, or keep; `hold`: seconds to wait before
that end. The answer is a line:

    {"ok": true, "rows": [[[7]], ...]}
    {"ok": false, "stage": "begin" | "statement" | "commit", "class": "OperationalError", "name": "SQLITE_ERROR", "message": "..."}

After an error no transaction is open.
"""

import json
import sqlite3
import sys
import time


def answer(db, request):
    stage = 'begin'
    rows = []
    try:
        if not db.in_transaction:
            db.execute('BEGIN IMMEDIATE')
        stage = 'statement'
        for sql, parameters in request['statements']:
            rows.append(db.execute(sql, parameters).fetchall())
        if request.get('hold'):
            time.sleep(request['hold'])
        end = request.get('end', 'commit')
        if end == 'commit':
            stage = 'commit'
            db.execute('COMMIT')
        elif end == 'rollback':
            db.execute('ROLLBACK')
        return {'ok': True, 'rows': rows}
    except sqlite3.Error as error:
        told = {
            'ok': False,
            'stage': stage,
            'class': type(error).__name__,
            'name': getattr(error, 'sqlite_errorname', ''),
            'message': str(error),
        }
        try:
            if db.in_transaction:
                db.execute('ROLLBACK')
        except sqlite3.Error as second:
            told['message'] += f' (and the rollback: {second})'
        return told


def main():
    busy_ms = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
    db = sqlite3.connect(sys.argv[1], timeout=busy_ms / 1000, isolation_level=None)
    db.execute(f'PRAGMA busy_timeout = {busy_ms}')
    db.execute('PRAGMA foreign_keys = ON')
    for line in sys.stdin:
        print(json.dumps(answer(db, json.loads(line))), flush=True)


if __name__ == '__main__':
    main()
