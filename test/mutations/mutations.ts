/**
 * Invariants taken out of the real source, one at a time, and the tests that have to notice. An edit names the text that
 * is replaced, which must be found exactly once: where the source has changed, the list has to follow.
 */

export interface Edit {
  readonly file: string
  readonly from: string
  readonly to: string
}

export interface NamedTest {
  readonly file: string
  /** Without those of its groups. Where several have it, all of them have to pass, and one of them to fail. */
  readonly name: string
}

export interface Mutation {
  /** Short, for `--only`. */
  readonly code: string
  /** The invariant that is gone. */
  readonly what: string
  readonly edits: readonly Edit[]
  /** Each of them has to fail. */
  readonly tests: readonly NamedTest[]
}

const S1: NamedTest = {
  file: 'test/cases/S1-lock-then-drain.test.ts',
  name: 'nothing that was written before the lock is left behind, and nothing is written after the drain',
}
const explored = (name: string): NamedTest => ({ file: 'test/switchover/explore.test.ts', name })
const late = (name: string): NamedTest => ({ file: 'test/cases/H3-late-decisions.test.ts', name })
const forgotten = (name: string): NamedTest => ({ file: 'test/cases/H1-forgotten-commits.test.ts', name })
const old = (name: string): NamedTest => ({ file: 'test/cases/H2-old-snapshots.test.ts', name })
const held = (name: string): NamedTest => ({ file: 'test/cases/H4-holder-in-each-transaction.test.ts', name })
const fenced = (name: string): NamedTest => ({ file: 'test/sqlite/fence.test.ts', name })
const gated = (name: string): NamedTest => ({ file: 'test/postgres/gate.test.ts', name })

const EVERY_WORLD = explored('never has two writers, loses no write, is never divided, and has a way out')
const SLEPT = (passage: string): NamedTest =>
  late(`a coordinator that slept through its replacement decides no ${passage} and opens nothing`)
const SLEPT_BEFORE = (passage: string): NamedTest =>
  late(`a coordinator that slept before its decision decides no ${passage} any more`)
const UNDONE_BEFORE = (passage: string): NamedTest =>
  late(`an attempt of a ${passage} that was undone decides nothing, though another one has begun`)

export const MUTATIONS: readonly Mutation[] = [
  {
    code: 'drain-without-lock',
    what: 'a switchover drains without the write lock of SQLite, and takes it for the fence',
    edits: [
      {
        file: 'src/wiring/conduct.ts',
        from: `    await this.locked(signal)
    this.pauseFrom = performance.now()`,
        to: `    signal.throwIfAborted()
    this.pauseFrom = performance.now()`,
      },
    ],
    tests: [S1],
  },
  {
    code: 'drain-before-lock',
    what: 'both directions drain first, and take the lock afterwards',
    edits: [
      {
        file: 'src/switchover/machine.ts',
        from: `  waiting: forward('holding'),
  holding: forward('draining'),
  draining: forward('fencing'),`,
        to: `  waiting: forward('draining'),
  holding: forward('fencing'),
  draining: forward('holding'),`,
      },
    ],
    tests: [S1, EVERY_WORLD],
  },
  {
    code: 'no-drain',
    what: 'nothing is drained under the lock: lag was zero before it',
    edits: [
      {
        file: 'src/wiring/conduct.ts',
        from: 'return await this.deps.replicator.drain(signal)',
        to: 'return signal.aborted ? await this.deps.replicator.drain(signal) : 0',
      },
    ],
    tests: [S1],
  },
  {
    code: 'fence-lowered-first',
    what: 'an undo lowers the fence before PostgreSQL has answered',
    edits: [
      {
        file: 'src/switchover/machine.ts',
        from: `    failed: 'undoing',
    late: 'undoing',
    lost: 'undoing',
    displaced: 'displaced',
    ...UNEXPLAINED,
  }
}`,
        to: `    failed: 'reopening',
    late: 'reopening',
    lost: 'reopening',
    displaced: 'displaced',
    ...UNEXPLAINED,
  }
}`,
      },
      {
        file: 'src/switchover/machine.ts',
        from: `    ok: 'undone',
    failed: 'reopening',`,
        to: `    ok: 'undoing',
    failed: 'reopening',`,
      },
      {
        file: 'src/switchover/machine.ts',
        from: `    undone: 'reopening',
    decided: 'settling',`,
        to: `    undone: 'undone',
    decided: 'settling',`,
      },
    ],
    tests: [
      EVERY_WORLD,
      {
        file: 'test/cases/H3-lost-and-late-decisions.test.ts',
        name: 'of a switchover in a server process that is stopped: both sides stay closed, and it is said why',
      },
    ],
  },
  {
    code: 'token-not-asked',
    what: 'a position of the way back counts without its token',
    edits: [
      {
        file: 'src/postgres/reverse-position.ts',
        from: 'if (highest === undefined || number > highest)',
        to: 'if (highest === undefined && number > 1e15)',
      },
    ],
    tests: [forgotten('a server that was put back is noticed, and everything is compared')],
  },
  {
    code: 'no-token',
    what: 'there is no token: nothing is written where the snapshot is taken, nothing asked',
    edits: [
      {
        file: 'src/postgres/reverse-position.ts',
        from: 'if (highest === undefined || number > highest)',
        to: 'if (highest === undefined && number > 1e15)',
      },
      {
        file: 'src/postgres/reverse-reader.ts',
        from: `'UPDATE slipway.token SET token = $2, earlier = $3 WHERE migration = $1'`,
        to: `'SELECT 1 WHERE $1::text IS NULL OR $2::text IS NULL OR $3::text IS NULL'`,
      },
    ],
    tests: [
      forgotten('numbers of transactions that are given again are no reason to skip one'),
      forgotten('a server that was put back is noticed, and everything is compared'),
    ],
  },
  {
    code: 'advisory-lock-only',
    what: 'a forward batch is let in by the advisory lock alone: neither holder nor epoch, no row lock',
    edits: [
      {
        file: 'src/postgres/control.ts',
        from: `WHERE c.migration = $1 AND c.holder = $2 AND c.epoch = $3 AND c.authority = 'sqlite'
             FOR \${strength.toUpperCase()} OF c\``,
        to: `WHERE c.migration = $1 AND $2::text IS NOT NULL AND $3::bigint IS NOT NULL\``,
      },
    ],
    tests: [
      held('one that was replaced is let into no transaction, whatever sessions it still has'),
      held('one that was let in cannot be replaced before its transaction ends'),
    ],
  },
  {
    code: 'no-row-lock',
    what: 'holder and epoch are read, and the control row is not locked',
    edits: [
      {
        file: 'src/postgres/control.ts',
        from: `             FOR \${strength.toUpperCase()} OF c\``,
        to: `             \``,
      },
    ],
    tests: [held('one that was let in cannot be replaced before its transaction ends')],
  },
  {
    code: 'reverse-without-holder',
    what: 'the way back is read by whoever has the session',
    edits: [
      {
        file: 'src/postgres/reverse-reader.ts',
        from: `WHERE c.migration = $1 AND c.holder = $2 AND c.epoch = $3 AND c.authority = 'postgres'`,
        to: `WHERE c.migration = $1 AND $2::text IS NOT NULL AND $3::bigint IS NOT NULL`,
      },
    ],
    tests: [{ file: 'test/postgres/reverse.test.ts', name: 'who is not the holder reads nothing' }],
  },
  {
    code: 'control-row-for-gate',
    what: "the gate judges by the control row, not by the sequence's value",
    edits: [
      {
        file: 'triggers/postgres/gate_function.sql',
        from: `EXECUTE format('SELECT last_value FROM slipway.%I', 'gate_' || migration_id) INTO gate_value;`,
        to: `SELECT 2 * c.epoch + (c.authority = 'postgres')::int INTO gate_value FROM slipway.control c WHERE c.id = migration_id;`,
      },
    ],
    tests: [
      old('REPEATABLE READ: begun while the other side led, refused after every change'),
      old('SERIALIZABLE: begun while the other side led, refused after every change'),
    ],
  },
  {
    code: 'gate-without-lock',
    what: 'the gate takes no shared lock: writers in flight are not waited for',
    edits: [
      {
        file: 'triggers/postgres/gate_function.sql',
        from: 'PERFORM pg_advisory_xact_lock_shared(7514, migration_id);',
        to: 'PERFORM 1;',
      },
    ],
    tests: [gated('a writer that does not end is named, and nobody else was refused')],
  },
  {
    code: 'decide-without-cas',
    what: 'the decision is written without comparing holder, authority, epoch and attempt',
    edits: [
      {
        file: 'src/postgres/gate.ts',
        from: '        if (!same) throw displaced()',
        to: '        if (!same && found.id < 0) throw displaced()',
      },
      {
        file: 'src/postgres/decision.ts',
        from: `WHERE migration = $1 AND holder = $2 AND authority = 'sqlite' AND epoch = $3 AND attempt = $4
           AND phase = 'switching_over' RETURNING reverse_start`,
        to: `WHERE migration = $1 AND ($2::text, $3::bigint, $4::int) IS NOT NULL RETURNING reverse_start`,
      },
      {
        file: 'src/postgres/decision.ts',
        from: `WHERE migration = $1 AND holder = $2 AND authority = 'postgres' AND epoch = $3 AND attempt = $4
           AND phase = 'rolling_back'
         RETURNING`,
        to: `WHERE migration = $1 AND ($2::text, $3::bigint, $4::int) IS NOT NULL
         RETURNING`,
      },
    ],
    tests: [
      SLEPT_BEFORE('switchover'),
      SLEPT_BEFORE('rollback'),
      SLEPT('rollback'),
      UNDONE_BEFORE('switchover'),
      UNDONE_BEFORE('rollback'),
    ],
  },
  {
    code: 'decide-any-attempt',
    what: 'the decision compares everything but the number of the attempt',
    edits: [
      {
        file: 'src/postgres/gate.ts',
        from: `          found.attempt === expected.attempt &&
`,
        to: '',
      },
      {
        file: 'src/postgres/decision.ts',
        from: `AND authority = 'sqlite' AND epoch = $3 AND attempt = $4`,
        to: `AND authority = 'sqlite' AND epoch = $3 AND $4::int IS NOT NULL`,
      },
      {
        file: 'src/postgres/decision.ts',
        from: `AND authority = 'postgres' AND epoch = $3 AND attempt = $4`,
        to: `AND authority = 'postgres' AND epoch = $3 AND $4::int IS NOT NULL`,
      },
    ],
    tests: [UNDONE_BEFORE('switchover'), UNDONE_BEFORE('rollback')],
  },
  {
    code: 'undo-by-reading',
    what: 'the undo looks at the control row, and changes nothing',
    edits: [
      {
        file: 'src/postgres/gate.ts',
        from: `      const found = await this.#locked(client)
      if (found.holder !== control.holder) return 'displaced'`,
        to: `      const found = await this.#row(client)
      if (found.holder !== control.holder) return 'displaced'`,
      },
      {
        file: 'src/postgres/gate.ts',
        from: `      await client.query(
        'UPDATE slipway.control SET phase = CASE phase WHEN $2 THEN $3 ELSE phase END, attempt = attempt + 1 WHERE migration = $1',
        [control.migration, moving, rest],
      )
      await this.#set(client, found)`,
        to: `      if (moving === rest) await this.#set(client, found)`,
      },
    ],
    tests: [
      late('a switchover whose COMMIT waits for a standby cannot be undone, and is seen as decided'),
      late('a rollback whose COMMIT waits for a standby cannot be undone, and is seen as decided'),
      late('a switchover whose backend is stopped: undo waits, and decides once it goes on'),
    ],
  },
  {
    code: 'any-fence-lowered',
    what: "SQLite's fence is lowered without comparing the attempt",
    edits: [
      {
        file: 'src/sqlite/fence.ts',
        from: `    const database = this.#database
    this.#change(from, () => {
      const changed`,
        to: `    const database = this.#database
    this.#change({ authority: from.authority, epoch: from.epoch }, () => {
      const changed`,
      },
    ],
    tests: [
      fenced('a coordinator that slept does not open the fence of its successor'),
      fenced('lower and lead refuse another attempt, and change nothing'),
    ],
  },
  {
    code: 'fence-of-another-lowered',
    what: 'an undo lowers whatever fence it finds when it has the write lock',
    edits: [
      {
        file: 'src/wiring/conduct.ts',
        from: `from: { authority: 'none', epoch, attempt: own }, epoch: epoch - 1`,
        to: `from: { authority: 'none', epoch, attempt: own < 0 ? own : attempt }, epoch: epoch - 1`,
      },
    ],
    tests: [
      {
        file: 'test/switchover/fence-of-another.test.ts',
        name: 'a fence that was raised meanwhile is not lowered',
      },
    ],
  },
  {
    code: 'fence-by-raise',
    what: "SQLite's fence is RAISE(ABORT), a constraint error",
    edits: [
      {
        file: 'triggers/sqlite/fence.sql',
        from: `  SELECT json_extract('{}', (
    SELECT coalesce(max(value), 'slipway: writes are closed here') FROM _slipway_control WHERE name = (
      SELECT name || '_text' FROM _slipway_control
      WHERE name IN ('fence', 'pause') AND CAST(value AS INTEGER) > {{now}} ORDER BY name LIMIT 1
    )
  ));`,
        to: `  SELECT RAISE(ABORT, 'slipway: writes are closed here');`,
      },
    ],
    tests: [
      {
        file: 'test/cases/H26-the-fence-is-no-constraint.test.ts',
        name: 'every way to write meets an operational error with a text, and writes nothing',
      },
      {
        file: 'test/cases/H26-the-fence-is-no-constraint.test.ts',
        name: 'a bot that swallows IntegrityError loses nothing',
      },
    ],
  },
  {
    code: 'fence-not-durable',
    what: 'what changes the authority in SQLite is committed with synchronous=NORMAL',
    edits: [
      {
        file: 'src/sqlite/write-lock.ts',
        from: `database.pragma('synchronous = FULL')`,
        to: `database.pragma('synchronous = NORMAL')`,
      },
    ],
    tests: [
      {
        file: 'test/cases/H6-durable-authority.test.ts',
        name: 'commits that change the authority are synced; the others need not be',
      },
    ],
  },
  {
    code: 'triggers-in-any-order',
    what: 'triggers that were set aside come back in another order',
    edits: [
      {
        file: 'src/sqlite/triggers-aside.ts',
        from: '  for (const trigger of wanted) {',
        to: '  for (const trigger of wanted.toReversed()) {',
      },
    ],
    tests: [
      {
        file: 'test/cases/H25-order-of-triggers.test.ts',
        name: 'triggers fire after a fence in the order in which they fired before',
      },
    ],
  },
  {
    code: 'whole-rows-back',
    what: 'the way back writes whole rows, not the columns that differ',
    edits: [
      {
        file: 'src/postgres/reverse-compare.ts',
        from: `(s.\${HERE} IS NULL OR \${differs(column.type, s, t)})`,
        to: `(s.\${HERE} IS NULL OR true OR \${differs(column.type, s, t)})`,
      },
    ],
    tests: [
      {
        file: 'test/cases/H21-bytes-nobody-touched.test.ts',
        name: 'only cells whose value is another one are written',
      },
      { file: 'test/postgres/reverse.test.ts', name: 'only columns that differ come back' },
    ],
  },
  {
    code: 'position-after-rows',
    what: 'the position of the way back is not committed with the rows',
    edits: [
      {
        file: 'src/sqlite/reverse-writer.ts',
        from: `    writePosition(database, batch.to)
    closeFence(database)`,
        to: `    closeFence(database)`,
      },
      {
        file: 'src/sqlite/reverse-writer.ts',
        from: `      database.exec('COMMIT')
      this.#checkpoints.maybe()`,
        to: `      database.exec('COMMIT')
      this.#checkpoints.maybe()
      writePosition(database, batch.to)`,
      },
    ],
    tests: [
      {
        file: 'test/sqlite/reverse-writer.test.ts',
        name: 'is one commit: its rows, its position, and the fence that closes again',
      },
    ],
  },
  {
    code: 'batch-from-anywhere',
    what: 'a batch of the way back is written wherever SQLite stands',
    edits: [
      {
        file: 'src/sqlite/reverse-writer.ts',
        from: '    refuseMoved(batch.from, readPosition(database))\n',
        to: '    readPosition(database)\n',
      },
      {
        file: 'src/sqlite/reverse-writer.ts',
        from: 'function refuseMoved(',
        to: 'export function refuseMoved(',
      },
    ],
    tests: [
      {
        file: 'test/sqlite/reverse-writer.test.ts',
        name: 'is written once: the second time it is refused',
      },
    ],
  },
  {
    code: 'gate-for-some',
    what: "the gate's triggers are not ENABLE ALWAYS",
    edits: [
      {
        file: 'triggers/postgres/gate.sql',
        from: 'ENABLE ALWAYS TRIGGER " slipway_gate", ENABLE ALWAYS TRIGGER " slipway_gate_truncate";',
        to: 'ENABLE TRIGGER " slipway_gate", ENABLE TRIGGER " slipway_gate_truncate";',
      },
    ],
    tests: [
      {
        file: 'test/cases/H17-ways-past-the-gate.test.ts',
        name: 'every way is refused with 25006, whoever led before',
      },
    ],
  },
  {
    code: 'running-forgotten',
    what: 'a batch is what began after the position: who ran then is forgotten',
    edits: [
      {
        file: 'src/postgres/reverse-position.ts',
        from: `\${running}::xid8[])\`)}`,
        to: `\${running}::xid8[]) AND false\`)}`,
      },
    ],
    tests: [
      {
        file: 'test/cases/P8-snapshots-not-sequences.test.ts',
        name: 'every batch is the difference of two snapshots',
      },
    ],
  },
  {
    code: 'late-read-without-lock',
    what: 'rows are read late without a lock of their tables before the snapshot',
    edits: [
      {
        file: 'src/postgres/reverse-reader.ts',
        from: "tables.length === 0 ? '' : `; LOCK TABLE",
        to: "tables.length < 1e6 ? '' : `; LOCK TABLE",
      },
    ],
    tests: [
      {
        file: 'test/cases/H16-truncate-while-read.test.ts',
        name: `the reader waits and sees the table as it is then: TRUNCATE t; INSERT INTO t VALUES (3, 'three')`,
      },
    ],
  },
]
