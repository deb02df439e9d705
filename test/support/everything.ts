/** A database with everything at once: what SQLite allows, and what the ways to PostgreSQL stumble over. */
import { execute, type Statement } from './foreign.ts'

/** 70 bytes; the first 63 are those of the other. */
export const LONG_TABLE = `t_${'long_name_'.repeat(6)}_of_seventy`.slice(0, 70).padEnd(70, 'x')
const LONG_COLUMN = `c_${'й'.repeat(31)}`
export const LONG_COLUMNS = [`${LONG_COLUMN}_one`, `${LONG_COLUMN}_two`] as const

const NAMES: readonly Statement[] = [
  'CREATE TABLE "Order" ("select" INTEGER PRIMARY KEY, "from where" TEXT, "a""b" TEXT, "Größe" REAL, "таблица" TEXT)',
  `INSERT INTO "Order" VALUES (1, 'x', 'y', 1.5, 'z'), (2, NULL, '', -0.25, 'строка')`,
  'CREATE TABLE "a table" ("The Key" INTEGER PRIMARY KEY, "it\'s" TEXT, "tab\tbed" TEXT)',
  `INSERT INTO "a table" VALUES (1, 'quote '' backslash \\ tab\t', 'line\nbreak')`,
  `CREATE TABLE "${LONG_TABLE}" (id INTEGER PRIMARY KEY, "${LONG_COLUMNS[0]}" TEXT, "${LONG_COLUMNS[1]}" TEXT)`,
  `INSERT INTO "${LONG_TABLE}" VALUES (1, 'one', 'two')`,
  'CREATE TABLE system_columns (id INTEGER PRIMARY KEY, ctid TEXT, xmin INTEGER, tableoid TEXT, oid INTEGER)',
  `INSERT INTO system_columns VALUES (1, 'c', 2, 't', 3)`,
]

const KEYS: readonly Statement[] = [
  'CREATE TABLE key_auto (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT)',
  `INSERT INTO key_auto VALUES (5, 'a'), (9, 'b')`,
  'DELETE FROM key_auto WHERE id = 9',
  'CREATE TABLE key_text (k TEXT PRIMARY KEY, v INTEGER)',
  `INSERT INTO key_text VALUES ('a', 1), ('A', 2), ('a ', 3), ('é', 4)`,
  'CREATE TABLE key_blob (k BLOB PRIMARY KEY, v TEXT)',
  `INSERT INTO key_blob VALUES (x'', 'empty'), (x'00ff', 'two')`,
  'CREATE TABLE key_real (k REAL PRIMARY KEY, v TEXT)',
  `INSERT INTO key_real VALUES (0.1, 'a'), (5e-324, 'b')`,
  'CREATE TABLE key_composite (a TEXT, b INTEGER, v TEXT, PRIMARY KEY (a, b))',
  `INSERT INTO key_composite VALUES ('x', 1, 'one'), ('x', 2, 'two'), ('y', 1, 'three')`,
  'CREATE TABLE key_clustered (a TEXT, b INTEGER, v TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID',
  `INSERT INTO key_clustered VALUES ('x', 1, 'one'), ('я', 2, 'two')`,
  'CREATE TABLE key_unique (a TEXT NOT NULL UNIQUE, v TEXT)',
  `INSERT INTO key_unique VALUES ('a', 'one'), ('b', 'two')`,
  'CREATE TABLE key_none (a TEXT, b INTEGER)',
  `INSERT INTO key_none VALUES ('same', 1), ('same', 1), (NULL, NULL)`,
  'CREATE TABLE key_null (k TEXT PRIMARY KEY, v INTEGER)',
  `INSERT INTO key_null VALUES ('a', 1), (NULL, 2), (NULL, 3)`,
  'CREATE TABLE key_kinds (k PRIMARY KEY, v TEXT)',
  `INSERT INTO key_kinds VALUES (1, 'integer'), ('1', 'text'), (x'31', 'blob'), (2.5, 'real')`,
]

const SCHEMAS: readonly Statement[] = [
  'CREATE TABLE strict_all (id INTEGER PRIMARY KEY, i INT, r REAL, t TEXT, b BLOB, a ANY) STRICT',
  `INSERT INTO strict_all VALUES (1, 7, 0.5, 'fine', x'01', 'any'), (2, NULL, 9e999, CAST(x'ff' AS TEXT), NULL, 3)`,
  `CREATE TABLE generated (id INTEGER PRIMARY KEY, price REAL, amount INTEGER,
     total REAL GENERATED ALWAYS AS (price * amount) STORED, label TEXT AS ('n' || amount) VIRTUAL)`,
  'INSERT INTO generated (id, price, amount) VALUES (1, 2.5, 4), (2, 0.1, 3)',
  `CREATE TABLE indexed (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE, email TEXT, state TEXT,
     day TEXT, padded TEXT COLLATE RTRIM)`,
  `INSERT INTO indexed VALUES (1, 'Anna', 'A@x', 'live', '2024-01-01', 'p  '), (2, 'Bert', 'b@x', 'gone', '2024-01-02', 'p'),
     (3, 'Carl', 'a@x', 'gone', '2024-01-03', NULL)`,
  `CREATE UNIQUE INDEX indexed_live ON indexed (day) WHERE state = 'live'`,
  'CREATE UNIQUE INDEX indexed_email ON indexed (lower(email), id)',
  'CREATE INDEX indexed_day ON indexed (day DESC, name)',
  `CREATE TABLE defaults (id INTEGER PRIMARY KEY, n INTEGER DEFAULT 5, quoted INTEGER DEFAULT '5', word TEXT DEFAULT "word",
     made TEXT DEFAULT (datetime('now')), chance INTEGER DEFAULT (random()), bytes BLOB DEFAULT x'00', no BOOLEAN DEFAULT 'false',
     CHECK (n >= 0), CHECK (length(word) < 100))`,
  'INSERT INTO defaults (id) VALUES (1), (2)',
  `CREATE TABLE hens (id INTEGER PRIMARY KEY, egg INTEGER REFERENCES eggs (id) ON DELETE CASCADE ON UPDATE CASCADE,
     mother INTEGER REFERENCES hens ON DELETE SET NULL)`,
  'CREATE TABLE eggs (id INTEGER PRIMARY KEY, hen INTEGER REFERENCES hens ON DELETE CASCADE)',
  `CREATE TABLE nests (id INTEGER PRIMARY KEY, a TEXT, b INTEGER, FOREIGN KEY (a, b) REFERENCES key_composite)`,
  'INSERT INTO hens VALUES (1, 1, NULL), (2, NULL, 1), (3, 99, 1)',
  'INSERT INTO eggs VALUES (1, 1), (2, 77)',
  `INSERT INTO nests VALUES (1, 'x', 1), (2, NULL, 5)`,
  'CREATE VIRTUAL TABLE search USING fts5 (body)',
  `INSERT INTO search VALUES ('found words')`,
  `CREATE VIEW live_names AS SELECT name FROM indexed WHERE state = 'live'`,
  'CREATE TABLE audited (id INTEGER PRIMARY KEY, v TEXT, changed INTEGER NOT NULL DEFAULT 0)',
  'CREATE TRIGGER audited_search AFTER INSERT ON audited BEGIN INSERT INTO search (body) VALUES (NEW.v); END',
  `CREATE TRIGGER audited_count AFTER UPDATE OF v ON audited BEGIN UPDATE audited SET changed = changed + 1 WHERE id = NEW.id; END`,
  `INSERT INTO audited (id, v) VALUES (1, 'audited')`,
  'CREATE TABLE alembic_version (version_num TEXT PRIMARY KEY)',
  `INSERT INTO alembic_version VALUES ('abc')`,
]

const WIDTH = 200
const WIDE = Array.from({ length: WIDTH - 1 }, (_, index) => index + 1)

const VALUES: readonly Statement[] = [
  'CREATE TABLE numbers (id INTEGER PRIMARY KEY, i INTEGER, r REAL, n NUMERIC)',
  `INSERT INTO numbers VALUES (1, -9223372036854775807 - 1, 5e-324, 0.1), (2, 9223372036854775807, 1.7976931348623157e308, 12345678901234567890.5),
     (3, 9007199254740993, 9e999, 3), (4, 0, 0.1 + 0.2, -1.10), (5, 32768, -9e999, NULL), (6, -1, -0.0, 1e20)`,
  'CREATE TABLE texts (id INTEGER PRIMARY KEY, plain TEXT, nul TEXT, invalid TEXT, surrogate TEXT, json TEXT)',
  `INSERT INTO texts VALUES (1, 'plain', 'fine', 'fine', 'fine', '{"a": 1}'),
     (2, 'emoji 🚀 \\N', 'cut' || char(0) || 'here', CAST(x'61ff62' AS TEXT), CAST(x'eda080' AS TEXT), '{"a": "\\u0000"}'),
     (3, '', 'fine', char(65533), 'fine', '[1, 2'), (4, NULL, char(0), CAST(x'd0' AS TEXT), CAST(x'edb080' AS TEXT), NULL)`,
  'CREATE TABLE large (id INTEGER PRIMARY KEY, bytes BLOB, words TEXT)',
  `INSERT INTO large VALUES (1, randomblob(10000000), replace(hex(zeroblob(1250000)), '00', 'слов')), (2, zeroblob(16), 'short')`,
  `CREATE TABLE wide (id INTEGER PRIMARY KEY, ${WIDE.map((n) => `c${n} ${n % 2 === 0 ? 'TEXT' : 'INTEGER'}`).join(', ')})`,
  `INSERT INTO wide VALUES (1, ${WIDE.map((n) => (n % 2 === 0 ? `'v${n}'` : n)).join(', ')}), (2, ${WIDE.map(() => 'NULL').join(', ')})`,
  `CREATE TABLE dates (id INTEGER PRIMARY KEY, zoned TIMESTAMP, naive DATETIME, epoch INTEGER, millis INTEGER, julian REAL, german TEXT,
     mixed DATETIME, broken DATETIME, day DATE)`,
  `INSERT INTO dates VALUES
     (1, '2024-05-06T07:08:09.123Z', '2024-05-06 07:08:09', 1714979289, 1714979289123, 2460436.5, '06.05.2024', '2024-05-06 07:08:09', '2024-05-06 07:08:09', '2024-05-06'),
     (2, '2024-05-06T09:08:09+02:00', '2024-05-06 07:08:09.123456', 0, 0, 2460437.25, '7.5.2024', '2024-05-06T07:08:09Z', '0000-00-00 00:00:00', '2024-02-29'),
     (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'now', NULL),
     (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2024-02-30 10:00:00', NULL),
     (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2024-01-01 10:00:00.123456789', NULL),
     (6, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', NULL)`,
  'CREATE TABLE flags (id INTEGER PRIMARY KEY, clean BOOLEAN, wild BOOLEAN)',
  `INSERT INTO flags VALUES (1, 0, 0), (2, 1, 1), (3, NULL, 't'), (4, 1, 'true'), (5, 0, 2)`,
  'CREATE TABLE kinds (id INTEGER PRIMARY KEY, whole INTEGER, words TEXT, uuid TEXT, money DECIMAL(10,2), free)',
  `INSERT INTO kinds VALUES (1, 1, 'text', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 12.5, 1),
     (2, '12abc', x'0001', 'A0EEBC999C0B4EF8BB6D6BB9BD380A11', '12,50', 'free'), (3, 2.5, 'text', '', 3, x'ff')`,
]

/** The application's schema and rows; the file is left in the journal mode that it has. */
export function everythingStatements(): readonly Statement[] {
  return [...NAMES, ...KEYS, ...SCHEMAS, ...VALUES]
}

/** Tables that are moved. */
export const EVERYTHING_TABLES: readonly string[] = everythingStatements().flatMap((statement) => {
  const name = /^CREATE TABLE ("(?:[^"]|"")+"|\w+)/.exec(String(statement))?.[1]
  return name === undefined || name === 'alembic_version' ? [] : [name.replace(/^"(.*)"$/, '$1')]
})

/** Makes the file, in WAL mode as slipway wants it. */
export async function buildEverything(path: string): Promise<void> {
  await execute(path, ['PRAGMA journal_mode = WAL', ...everythingStatements()])
}
