#!/usr/bin/env python3
"""A foreign writer: an application that knows nothing of slipway, in another language, with an older SQLite.

    writers.py DB --create                          make the schema, and stop
    writers.py DB --create --fill 100000            and fill `items` (deterministic, in SQL)
    writers.py DB --seed 1 --writer 0 --ops 5000    a fixed number of operations, then stop
    writers.py DB --seed 1 --writer 0 --seconds 15 --rate 200
    writers.py DB --seed 1 --writer 0 --until-stdin-close

It prints `ready` on stderr when it begins to write, and at its end one line of JSON on stdout:

    {"sqlite": "3.40.1", "attempted": 812, "acked": 790, "constraint_errors": 20, "busy_errors": 2,
     "slowest_ms": 38.1, "per_operation": {...}, "unexpected": []}

`acked` counts transactions that COMMIT has confirmed. `constraint_errors` are those that its own random
operations ask for: a unique of its own tables, or a foreign key. `busy_errors` are refusals of deferred
transactions that read before they wrote (SQLITE_BUSY_SNAPSHOT: another commit came between), which every
application on WAL meets. Anything else is `unexpected`: on a file without slipway there is none.

Every transaction keeps the sum of `accounts.balance` and `vaults.amount`, two tables, at 1,000 per account that
`--create` makes.
"""

import argparse
import json
import random
import re
import sqlite3
import struct
import sys
import threading
import time

ACCOUNTS = 200
OPENING_BALANCE = 1000
BUSY_MS = 5000

SCHEMA = """
CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL, balance INTEGER NOT NULL);
CREATE TABLE vaults (name TEXT NOT NULL PRIMARY KEY, amount INTEGER NOT NULL);
CREATE TABLE items (
  id INTEGER PRIMARY KEY,
  slug TEXT UNIQUE COLLATE NOCASE,
  code TEXT UNIQUE,
  payload BLOB,
  score REAL,
  note TEXT
);
CREATE TABLE documents (path TEXT NOT NULL PRIMARY KEY, title TEXT, size INTEGER);
CREATE TABLE tags (name TEXT NOT NULL COLLATE NOCASE PRIMARY KEY, weight INTEGER, hint TEXT);
CREATE TABLE memberships (
  team INTEGER NOT NULL,
  person TEXT NOT NULL,
  role TEXT,
  since TEXT,
  PRIMARY KEY (team, person)
) WITHOUT ROWID;
CREATE TABLE events (happened INTEGER, kind TEXT, body TEXT);
CREATE TABLE parents (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT UNIQUE,
  children_count INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE children (
  id INTEGER PRIMARY KEY,
  parent_id INTEGER REFERENCES parents (id) ON DELETE CASCADE,
  label TEXT,
  UNIQUE (parent_id, label)
);
CREATE TABLE slots (
  id INTEGER PRIMARY KEY,
  room TEXT NOT NULL,
  position INTEGER NOT NULL,
  active INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX slots_active ON slots (room, position) WHERE active = 1;
CREATE INDEX items_score ON items (score);
CREATE INDEX children_parent ON children (parent_id);
CREATE TRIGGER children_added AFTER INSERT ON children BEGIN
  UPDATE parents SET children_count = children_count + 1 WHERE id = NEW.parent_id;
END;
CREATE TRIGGER children_removed AFTER DELETE ON children BEGIN
  UPDATE parents SET children_count = children_count - 1 WHERE id = OLD.parent_id;
END;
"""

# The names of this application's own tables: a constraint error must speak of one of them.
OWN = 'accounts|vaults|items|documents|tags|memberships|events|parents|children|slots'
OWN_CONSTRAINT = re.compile(
    r"^(UNIQUE constraint failed: (%s)\.\w+(, (%s)\.\w+)*|UNIQUE constraint failed: index 'slots_active'"
    r"|FOREIGN KEY constraint failed)$" % (OWN, OWN)
)

WORDS = [
    'alpha', 'Bravo', 'новости', 'Ёлка', 'straße', '東京', '🚀', "o'neil", 'tab\there', 'line\nbreak',
    'back\\slash', '\\N', '\\.', 'quote"d', 'comma,semi;', '', ' ', 'NULL', 'cr\rlf\r\n', '\x01\x7f',
    'e\u0301', '\U0001f468\u200d\U0001f469\u200d\U0001f467', '%s', '{"a": [1, "б"]}',
]
DOUBLES = [
    0.0, 1.0, -1.5, 0.1 + 0.2, 1 / 3, 1e308, -1e308, 5e-324, 2.2250738585072014e-308, 1e15, 1e16, 123456789.123456789,
    9007199254740993.0, 1e-7, 100000000000000000000.0, 3.141592653589793, 4.35, 0.07,
]


class Writer:
    def __init__(self, path, seed, number):
        self.random = random.Random(f'{seed}/{number}')
        self.number = number
        self.operations = [
            (10, self.transfer), (2, self.open_account), (2, self.close_account), (1, self.renumber_account), (8, self.deposit), (2, self.empty_vault),
            (8, self.insert_item), (5, self.replace_item), (4, self.upsert_item), (3, self.ignore_item),
            (4, self.update_item), (2, self.update_or_replace_item), (3, self.delete_item), (3, self.move_item),
            (3, self.swap_items), (3, self.change_case), (4, self.savepoint), (2, self.give_up),
            (3, self.many_statements), (2, self.read_then_write), (1, self.bulk),
            (3, self.write_document), (2, self.move_document), (1, self.delete_document),
            (3, self.write_tag), (2, self.recase_tag), (1, self.delete_tag),
            (3, self.write_membership), (2, self.move_membership), (1, self.delete_membership),
            (4, self.add_event), (2, self.update_event), (2, self.delete_event),
            (3, self.add_family), (3, self.add_child), (2, self.delete_parent), (2, self.replace_parent),
            (2, self.move_child), (1, self.adopt),
            (4, self.write_slot), (3, self.toggle_slot), (1, self.swap_slots), (1, self.delete_slot),
        ]
        self.weights = [weight for weight, _ in self.operations]
        self.db = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)
        self.db.execute(f'PRAGMA busy_timeout = {BUSY_MS}')
        self.db.execute('PRAGMA synchronous = NORMAL')
        self.foreign_keys = False
        self.set_pragmas()

    def set_pragmas(self):
        self.foreign_keys = self.random.random() < 0.5
        self.db.execute(f'PRAGMA foreign_keys = {int(self.foreign_keys)}')
        self.db.execute(f'PRAGMA recursive_triggers = {int(self.random.random() < 0.5)}')

    def step(self):
        """One operation. Returns its name; raises what SQLite raises, with no transaction left open."""
        if self.random.random() < 0.05:
            self.set_pragmas()
        operation = self.random.choices([run for _, run in self.operations], self.weights)[0]
        self.name = operation.__name__
        try:
            operation()
        except sqlite3.Error:
            if self.db.in_transaction:
                self.db.execute('ROLLBACK')
            raise

    # Values

    def id(self, limit=3000):
        return self.random.randint(1, limit)

    def word(self):
        return f'{self.random.choice(WORDS)}{self.random.randint(1, 99)}'

    def slug(self):
        word = f'slug-{self.id()}'
        return ''.join(self.random.choice((c.lower(), c.upper())) for c in word)

    def code(self):
        return None if self.random.random() < 0.1 else f'c{self.id()}'

    def payload(self):
        chance = self.random.random()
        if chance < 0.15:
            return None
        if chance < 0.25:
            return b''
        if chance < 0.3:
            return self.random.randbytes(self.random.randint(1000, 9000))
        return self.random.randbytes(self.random.randint(1, 60))

    def score(self):
        chance = self.random.random()
        if chance < 0.1:
            return None
        if chance < 0.4:
            return self.random.choice(DOUBLES)
        if chance < 0.7:
            return self.random.uniform(-1e6, 1e6)
        while True:
            value = struct.unpack('<d', self.random.randbytes(8))[0]
            if value == value and abs(value) != float('inf'):
                return value

    def note(self):
        chance = self.random.random()
        if chance < 0.1:
            return None
        if chance < 0.2:
            return self.random.choice(WORDS)
        if chance < 0.25:
            return ' '.join(self.word() for _ in range(self.random.randint(50, 400)))
        return ' '.join(self.word() for _ in range(self.random.randint(1, 6)))

    def size(self):
        return self.random.choice((0, -1, 2**63 - 1, -(2**63), 2**53 + 1, self.id(), None))

    def item(self):
        return (self.slug(), self.code(), self.payload(), self.score(), self.note())

    # Transactions

    def run(self, *statements):
        """Statements in one immediate transaction."""
        self.db.execute('BEGIN IMMEDIATE')
        for sql, parameters in statements:
            self.db.execute(sql, parameters)
        self.db.execute('COMMIT')

    def some(self, table, column='id', count=1):
        """Values of a column from random rows."""
        rows = self.db.execute(f'SELECT {column} FROM {table} ORDER BY {column}').fetchall()
        return [row[0] for row in self.random.sample(rows, min(count, len(rows)))]

    # accounts: every transaction keeps the sum

    def transfer(self):
        self.db.execute('BEGIN IMMEDIATE')
        ids = self.some('accounts', count=self.random.randint(2, 6))
        for giver, taker in zip(ids, ids[1:]):
            amount = self.random.randint(1, 500)
            self.db.execute('UPDATE accounts SET balance = balance - ? WHERE id = ?', (amount, giver))
            self.db.execute('UPDATE accounts SET balance = balance + ? WHERE id = ?', (amount, taker))
        self.db.execute('COMMIT')

    def open_account(self):
        self.db.execute('BEGIN IMMEDIATE')
        giver = self.some('accounts')[0]
        amount = self.random.randint(1, 100)
        self.db.execute('INSERT INTO accounts (name, balance) VALUES (?, ?)', (self.word(), amount))
        self.db.execute('UPDATE accounts SET balance = balance - ? WHERE id = ?', (amount, giver))
        self.db.execute('COMMIT')

    def close_account(self):
        self.db.execute('BEGIN IMMEDIATE')
        ids = self.some('accounts', count=2)
        if len(ids) == 2 and self.db.execute('SELECT count(*) FROM accounts').fetchone()[0] > ACCOUNTS // 2:
            closed, heir = ids
            balance = self.db.execute('SELECT balance FROM accounts WHERE id = ?', (closed,)).fetchone()[0]
            self.db.execute('DELETE FROM accounts WHERE id = ?', (closed,))
            self.db.execute('UPDATE accounts SET balance = balance + ? WHERE id = ?', (balance, heir))
        self.db.execute('COMMIT')

    def renumber_account(self):
        self.db.execute('BEGIN IMMEDIATE')
        old = self.some('accounts')[0]
        self.db.execute('UPDATE accounts SET id = (SELECT max(id) + 1 FROM accounts) WHERE id = ?', (old,))
        self.db.execute('COMMIT')

    def deposit(self):
        amount = self.random.randint(-300, 300)
        self.db.execute('BEGIN IMMEDIATE')
        giver = self.some('accounts')[0]
        self.db.execute(
            'INSERT INTO vaults VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET amount = amount + excluded.amount',
            (f'vault {self.random.randint(1, 12)}', amount),
        )
        self.db.execute('UPDATE accounts SET balance = balance - ? WHERE id = ?', (amount, giver))
        self.db.execute('COMMIT')

    def empty_vault(self):
        self.db.execute('BEGIN IMMEDIATE')
        heir = self.some('accounts')[0]
        for name in self.some('vaults', 'name'):
            amount = self.db.execute('SELECT amount FROM vaults WHERE name = ?', (name,)).fetchone()[0]
            self.db.execute('DELETE FROM vaults WHERE name = ?', (name,))
            self.db.execute('UPDATE accounts SET balance = balance + ? WHERE id = ?', (amount, heir))
        self.db.execute('COMMIT')

    # items: two secondary uniques, one of them NOCASE

    INSERT_ITEM = 'INTO items (slug, code, payload, score, note) VALUES (?, ?, ?, ?, ?)'
    INSERT_ITEM_WITH_ID = 'INTO items (id, slug, code, payload, score, note) VALUES (?, ?, ?, ?, ?, ?)'
    INSERT_ITEM_WITH_ROWID = 'INTO items (rowid, slug, code, payload, score, note) VALUES (?, ?, ?, ?, ?, ?)'

    def insert_item(self):
        if self.random.random() < 0.2:
            self.run(('INSERT ' + self.INSERT_ITEM_WITH_ROWID, (self.id(), *self.item())))
        else:
            self.run(('INSERT ' + self.INSERT_ITEM, self.item()))

    def replace_item(self):
        verb = self.random.choice(('REPLACE ', 'INSERT OR REPLACE '))
        if self.random.random() < 0.5:
            self.run((verb + self.INSERT_ITEM_WITH_ID, (self.id(), *self.item())))
        else:
            self.run((verb + self.INSERT_ITEM, self.item()))

    def upsert_item(self):
        clause = self.random.choice((
            'ON CONFLICT (slug) DO UPDATE SET note = excluded.note, score = excluded.score',
            'ON CONFLICT (code) DO UPDATE SET slug = excluded.slug',
            'ON CONFLICT (id) DO UPDATE SET id = id + 10000, code = excluded.code',
            'ON CONFLICT (slug) DO NOTHING',
            'ON CONFLICT (slug) DO UPDATE SET payload = excluded.payload ON CONFLICT (code) DO NOTHING',
        ))
        self.run((f'INSERT {self.INSERT_ITEM_WITH_ID} {clause}', (self.id(), *self.item())))

    def ignore_item(self):
        self.run(('INSERT OR IGNORE ' + self.INSERT_ITEM, self.item()))

    def update_item(self):
        column, value = self.random.choice((
            ('slug', self.slug()), ('code', self.code()), ('payload', self.payload()),
            ('score', self.score()), ('note', self.note()),
        ))
        self.run((f'UPDATE items SET {column} = ? WHERE id = ?', (value, self.id())))

    def update_or_replace_item(self):
        column, value = self.random.choice((('slug', self.slug()), ('code', self.code()), ('id', self.id())))
        self.run((f'UPDATE OR REPLACE items SET {column} = ? WHERE id = ?', (value, self.id())))

    def delete_item(self):
        if self.random.random() < 0.1:
            start = self.id()
            self.run(('DELETE FROM items WHERE id BETWEEN ? AND ?', (start, start + 40)))
        else:
            self.run(('DELETE FROM items WHERE id = ?', (self.id(),)))

    def move_item(self):
        self.run(('UPDATE items SET id = ? WHERE id = ?', (self.id(), self.id())))

    def swap_items(self):
        column = self.random.choice(('slug', 'code'))
        self.db.execute('BEGIN IMMEDIATE')
        pair = self.db.execute(
            f'SELECT id, {column} FROM items WHERE {column} IS NOT NULL AND id >= ? ORDER BY id LIMIT 2', (self.id(),)
        ).fetchall()
        if len(pair) == 2:
            (a, of_a), (b, of_b) = pair
            self.db.execute(f'UPDATE items SET {column} = ? WHERE id = ?', (f'temporary-{self.number}', a))
            self.db.execute(f'UPDATE items SET {column} = ? WHERE id = ?', (of_a, b))
            self.db.execute(f'UPDATE items SET {column} = ? WHERE id = ?', (of_b, a))
        self.db.execute('COMMIT')

    def change_case(self):
        function = self.random.choice(('upper', 'lower'))
        self.run((f'UPDATE items SET slug = {function}(slug) WHERE id = ?', (self.id(),)))

    def savepoint(self):
        self.db.execute('BEGIN IMMEDIATE')
        self.db.execute('INSERT OR IGNORE ' + self.INSERT_ITEM, self.item())
        self.db.execute('SAVEPOINT inner_part')
        self.db.execute('INSERT OR REPLACE ' + self.INSERT_ITEM, self.item())
        self.db.execute('UPDATE accounts SET balance = balance + 7 WHERE id = (SELECT min(id) FROM accounts)')
        self.db.execute('DELETE FROM items WHERE id = ?', (self.id(),))
        self.db.execute('ROLLBACK TO inner_part')
        self.db.execute('RELEASE inner_part')
        self.db.execute('INSERT OR IGNORE ' + self.INSERT_ITEM, self.item())
        self.db.execute('COMMIT')

    def give_up(self):
        self.db.execute('BEGIN IMMEDIATE')
        self.db.execute('INSERT OR REPLACE ' + self.INSERT_ITEM_WITH_ID, (self.id(), *self.item()))
        self.db.execute('UPDATE accounts SET balance = balance + 1')
        self.db.execute('ROLLBACK')

    def many_statements(self):
        self.db.execute('BEGIN IMMEDIATE')
        for _ in range(self.random.randint(5, 25)):
            self.db.execute('INSERT OR REPLACE ' + self.INSERT_ITEM_WITH_ID, (self.id(), *self.item()))
        self.db.execute('COMMIT')

    def read_then_write(self):
        self.db.execute('BEGIN')
        self.db.execute('SELECT count(*) FROM items').fetchone()
        self.db.execute('UPDATE items SET score = ? WHERE id = ?', (self.score(), self.id()))
        self.db.execute('COMMIT')

    def bulk(self):
        self.run(('UPDATE items SET score = score + 1 WHERE id <= 3000 AND id % 10 = ?', (self.random.randint(0, 9),)))

    # documents (TEXT key), tags (TEXT key, NOCASE)

    def path(self):
        return f'/{self.random.choice(WORDS)}/{self.random.randint(1, 40)}'

    def write_document(self):
        verb = self.random.choice(('INSERT OR REPLACE', 'INSERT OR IGNORE', 'INSERT'))
        self.run((f'{verb} INTO documents VALUES (?, ?, ?)', (self.path(), self.note(), self.size())))

    def move_document(self):
        verb = self.random.choice(('UPDATE', 'UPDATE OR REPLACE', 'UPDATE OR IGNORE'))
        self.run((f'{verb} documents SET path = ? WHERE path = ?', (self.path(), self.path())))

    def delete_document(self):
        self.run(('DELETE FROM documents WHERE path = ?', (self.path(),)))

    def tag(self):
        return ''.join(self.random.choice((c.lower(), c.upper())) for c in f'Tag-ж-{self.random.randint(1, 60)}')

    def write_tag(self):
        if self.random.random() < 0.5:
            self.run(('REPLACE INTO tags VALUES (?, ?, ?)', (self.tag(), self.size(), self.word())))
        else:
            self.run((
                'INSERT INTO tags VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET hint = excluded.hint',
                (self.tag(), self.size(), self.word()),
            ))

    def recase_tag(self):
        self.run(('UPDATE tags SET name = ? WHERE name = ?', (self.tag(), self.tag())))

    def delete_tag(self):
        self.run(('DELETE FROM tags WHERE name = ?', (self.tag(),)))

    # memberships: composite key, WITHOUT ROWID

    def member(self):
        return (self.random.randint(1, 20), f'{self.random.choice(WORDS)}')

    def write_membership(self):
        verb = self.random.choice(('INSERT OR REPLACE', 'INSERT OR IGNORE', 'INSERT'))
        self.run((f'{verb} INTO memberships VALUES (?, ?, ?, ?)', (*self.member(), self.word(), None)))

    def move_membership(self):
        verb = self.random.choice(('UPDATE', 'UPDATE OR REPLACE'))
        self.run((
            f'{verb} memberships SET team = ?, person = ? WHERE team = ? AND person = ?',
            (*self.member(), *self.member()),
        ))

    def delete_membership(self):
        self.run(('DELETE FROM memberships WHERE team = ? AND person = ?', self.member()))

    # events: no key at all, equal rows are allowed, rowids are reused

    def add_event(self):
        count = self.random.randint(1, 3)
        self.run(*[('INSERT INTO events VALUES (?, ?, ?)', (self.id(50), 'same', self.word()))] * count)

    def update_event(self):
        self.run(('UPDATE events SET body = ? WHERE happened = ?', (self.word(), self.id(50))))

    def delete_event(self):
        self.run(('DELETE FROM events WHERE rowid = (SELECT max(rowid) FROM events)', ()))

    # parents and children: ON DELETE CASCADE, with foreign keys on or off

    def add_family(self):
        self.db.execute('BEGIN IMMEDIATE')
        parent = self.db.execute('INSERT INTO parents (name) VALUES (?)', (f'p{self.id(300)}',)).lastrowid
        for label in self.random.sample(range(100), self.random.randint(0, 5)):
            self.db.execute('INSERT INTO children (parent_id, label) VALUES (?, ?)', (parent, f'{label}'))
        self.db.execute('COMMIT')

    def add_child(self):
        verb = self.random.choice(('INSERT', 'INSERT OR REPLACE'))
        self.run((
            f'{verb} INTO children (parent_id, label) VALUES (?, ?)', (self.id(400), f'{self.random.randint(1, 100)}'),
        ))

    def delete_parent(self):
        self.run(('DELETE FROM parents WHERE name = ?', (f'p{self.id(300)}',)))

    def replace_parent(self):
        self.run(('INSERT OR REPLACE INTO parents (name) VALUES (?)', (f'p{self.id(300)}',)))

    def move_child(self):
        self.run(('UPDATE OR REPLACE children SET parent_id = ? WHERE id = ?', (self.id(400), self.id(400))))

    def adopt(self):
        self.run(('UPDATE OR IGNORE children SET parent_id = ? WHERE parent_id = ?', (self.id(400), self.id(400))))

    # slots: a partial unique index

    def write_slot(self):
        verb = self.random.choice(('INSERT', 'INSERT OR REPLACE'))
        self.run((
            f'{verb} INTO slots (room, position, active) VALUES (?, ?, ?)',
            (self.random.choice('abc'), self.random.randint(1, 40), self.random.randint(0, 1)),
        ))

    def toggle_slot(self):
        verb = self.random.choice(('UPDATE', 'UPDATE OR REPLACE'))
        self.run((f'{verb} slots SET active = 1 - active WHERE id = ?', (self.id(400),)))

    def swap_slots(self):
        self.db.execute('BEGIN IMMEDIATE')
        pair = self.db.execute(
            'SELECT id, position FROM slots WHERE active = 1 AND room = ? AND id > ? ORDER BY id LIMIT 2',
            (self.random.choice('abc'), self.id(300)),
        ).fetchall()
        if len(pair) == 2:
            (a, of_a), (b, of_b) = pair
            self.db.execute('UPDATE slots SET position = ? WHERE id = ?', (-1 - self.number, a))
            self.db.execute('UPDATE slots SET position = ? WHERE id = ?', (of_a, b))
            self.db.execute('UPDATE slots SET position = ? WHERE id = ?', (of_b, a))
        self.db.execute('COMMIT')

    def delete_slot(self):
        self.run(('DELETE FROM slots WHERE id = ?', (self.id(400),)))


def create(path, wal):
    db = sqlite3.connect(path, isolation_level=None)
    if wal:
        db.execute('PRAGMA journal_mode = WAL')
    db.executescript(SCHEMA)
    db.execute('BEGIN')
    db.executemany(
        'INSERT INTO accounts (name, balance) VALUES (?, ?)',
        [(f'account {number}', OPENING_BALANCE) for number in range(1, ACCOUNTS + 1)],
    )
    db.execute('COMMIT')
    db.close()


def fill(path, rows):
    """Rows of `items` with values in every column, made by SQL alone: a million takes some seconds."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute('PRAGMA synchronous = OFF')
    done = db.execute('SELECT coalesce(max(id), 0) FROM items').fetchone()[0]
    while done < rows:
        upto = min(rows, done + 50000)
        db.execute(
            """
            WITH RECURSIVE n (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO items (id, slug, code, payload, score, note)
            SELECT i,
                   CASE WHEN i % 3 THEN 'Slug-' ELSE 'slug-' END || i,
                   CASE WHEN i % 11 THEN 'c' || i END,
                   CASE i % 7 WHEN 0 THEN NULL WHEN 1 THEN x'' ELSE CAST('payload ' || i AS BLOB) END,
                   i / 7.0,
                   CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN 'строка ' || i || char(9, 10, 92, 78)
                              ELSE 'a note of some length, so that a row weighs what a row weighs: ' || i END
            FROM n
            """,
            (done + 1, upto),
        )
        done = upto
    db.close()


def write(options):
    writer = Writer(options.db, options.seed, options.writer)
    closed = threading.Event()
    if options.until_stdin_close:
        def watch():
            sys.stdin.buffer.read()
            closed.set()
        threading.Thread(target=watch, daemon=True).start()
    began = time.monotonic()
    attempted = acked = constraint_errors = busy_errors = 0
    slowest = 0.0
    due = began
    per_operation = {}
    unexpected = []
    print('ready', file=sys.stderr, flush=True)
    while not closed.is_set():
        now = time.monotonic()
        if options.ops is not None and attempted >= options.ops:
            break
        if options.seconds is not None and now - began >= options.seconds:
            break
        if options.rate > 0:
            # What a busy machine has held up is not made up for: a burst is another load than the one asked for.
            due = max(due + 1 / options.rate, now - 0.05)
            if due > now:
                closed.wait(due - now)
        attempted += 1
        start = time.monotonic()
        try:
            writer.step()
            acked += 1
            per_operation[writer.name] = per_operation.get(writer.name, 0) + 1
        except sqlite3.IntegrityError as error:
            if OWN_CONSTRAINT.match(str(error)):
                constraint_errors += 1
            else:
                unexpected.append(report(writer, error, start))
        except sqlite3.Error as error:
            busy = getattr(error, 'sqlite_errorname', '') in ('SQLITE_BUSY', 'SQLITE_BUSY_SNAPSHOT')
            if busy and writer.name == 'read_then_write':
                busy_errors += 1
            else:
                unexpected.append(report(writer, error, start))
        slowest = max(slowest, time.monotonic() - start)
        if len(unexpected) >= 50:
            break
    print(json.dumps({
        'sqlite': sqlite3.sqlite_version,
        'attempted': attempted,
        'acked': acked,
        'constraint_errors': constraint_errors,
        'busy_errors': busy_errors,
        'slowest_ms': round(slowest * 1000, 1),
        'per_operation': per_operation,
        'unexpected': unexpected,
    }), flush=True)


def report(writer, error, start):
    name = getattr(error, 'sqlite_errorname', type(error).__name__)
    return f'{writer.name}: {name}: {error} after {time.monotonic() - start:.2f} s'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('db')
    parser.add_argument('--create', action='store_true')
    parser.add_argument('--no-wal', action='store_true')
    parser.add_argument('--fill', type=int, default=0)
    parser.add_argument('--seed', default='1')
    parser.add_argument('--writer', type=int, default=0)
    parser.add_argument('--ops', type=int)
    parser.add_argument('--seconds', type=float)
    parser.add_argument('--until-stdin-close', action='store_true')
    parser.add_argument('--rate', type=float, default=0, help='operations a second; 0: as fast as it goes')
    options = parser.parse_args()
    if options.create:
        create(options.db, not options.no_wal)
    if options.fill:
        fill(options.db, options.fill)
    if options.ops is not None or options.seconds is not None or options.until_stdin_close:
        write(options)


if __name__ == '__main__':
    main()
