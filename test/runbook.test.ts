/** The statements of docs/runbook.md, run by the programs that it names against real engines. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { standingOf } from '../src/core/authority.ts'
import { recover } from '../src/wiring/recover.ts'
import { Process } from './support/daemon.ts'
import { execute } from './support/foreign.ts'
import { Scenario } from './support/scenario.ts'
import { configOf, DEAF, refusals, Sides } from './support/sides.ts'

const PAGE = readFileSync(new URL('../docs/runbook.md', import.meta.url), 'utf8')
const BLOCKS = new Map(
  [...PAGE.matchAll(/^```sh ([a-z-]+)\n([\s\S]*?)^```$/gm)].map(([, name, text]) => [name, text as string]),
)
const MISSING = ['sqlite3', 'psql', 'bash'].filter(
  (program) => spawnSync(program, ['--version']).error !== undefined,
)

const SOURCE = [
  'CREATE TABLE "odd ""name""" (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT)',
  'CREATE TABLE log (n INTEGER PRIMARY KEY, what TEXT)',
  'CREATE TABLE keyless (a TEXT)',
  'CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES "odd ""name""" (id))',
  `CREATE TRIGGER one AFTER INSERT ON "odd ""name""" BEGIN INSERT INTO log (what) VALUES ('it''s one ' || NEW.a); END`,
  `CREATE TRIGGER two AFTER INSERT ON "odd ""name""" BEGIN
     INSERT INTO log (what) VALUES ('two ' || NEW.a);
   END`,
  `INSERT INTO "odd ""name""" (a) VALUES ('first')`,
  `INSERT INTO keyless VALUES ('x')`,
]
const TABLES = ['odd "name"', 'log', 'keyless', 'c']
const FENCE = expect.stringContaining('slipway: writes are closed here')
const write = (a: string): string => `INSERT INTO "odd ""name""" (a) VALUES ('${a}')`

class Operator {
  readonly scenario: Scenario

  constructor(scenario: Scenario) {
    this.scenario = scenario
  }

  /** What a person types, and sees. */
  async run(name: string, epoch = 0): Promise<string> {
    const { scenario } = this
    const text = BLOCKS.get(name)
    if (text === undefined) throw new Error(`the page has no ${name}`)
    const bash = new Process('bash', ['-euo', 'pipefail', '-c', text], {
      cwd: scenario.workspace.path,
      env: {
        PATH: process.env.PATH,
        HOME: scenario.workspace.path,
        DB: scenario.path,
        PG: scenario.database.url,
        MIGRATION: 'app',
        EPOCH: String(epoch),
      },
    })
    const result = await bash.end(60_000)
    expect(result, text).toMatchObject({ code: 0 })
    return result.stdout
  }

  async triggers(): Promise<unknown> {
    const [rows] = await execute(this.scenario.path, [
      `SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid`,
    ])
    return rows?.rows
  }

  async standing(): Promise<string> {
    await using sides = await Sides.of(this.scenario, TABLES, 'who looks')
    return standingOf(sides.fence.notes(), await sides.state()).kind
  }
}

async function stopped(): Promise<Operator> {
  const scenario = await Scenario.replicating({ source: SOURCE })
  await scenario.daemon.stop()
  return new Operator(scenario)
}

async function crashed(person: Operator, work: (sides: Sides) => Promise<unknown>): Promise<void> {
  await using sides = await Sides.of(person.scenario, TABLES, 'the coordinator')
  await work(sides)
}

describe.skipIf(MISSING.length > 0)(
  `by hand (needs sqlite3, psql and bash; missing: ${MISSING.join(' ') || 'none'})`,
  () => {
    test('an undecided switchover is undone, and replication goes on', async () => {
      const person = await stopped()
      await using scenario = person.scenario
      const before = await person.triggers()
      await crashed(person, (sides) => sides.switchOver('fence'))
      const seen = await person.run('look')
      expect(seen).toMatch(/authority\|none[\s\S]*epoch\|2/)
      expect(seen).toMatch(/sqlite +\| +1 +\| +1 +\| switching_over/)
      expect(seen).toMatch(/gate[\s\S]*closed/)
      expect(await person.run('undo-switchover')).toContain('UPDATE 1')
      await person.run('open-sqlite', 1)
      expect(await person.standing()).toBe('sqlite')
      expect(await person.triggers()).toEqual(before)
      expect(await refusals(scenario, write('yes'))).toEqual({ sqlite: undefined, postgres: '25006' })
      expect(await person.run('undo-switchover')).toContain('UPDATE 0')
      await scenario.start()
      await scenario.equalAtLagZero()
    })

    test('a decided switchover is noted', async () => {
      const person = await stopped()
      await using scenario = person.scenario
      await crashed(person, (sides) => sides.switchOver('decide'))
      expect(await person.standing()).toBe('decided')
      expect(await refusals(scenario, write('yes'))).toEqual({ sqlite: FENCE, postgres: undefined })
      expect(await person.run('look')).toMatch(/gate[\s\S]*open/)
      await person.run('note-switchover')
      await using sides = await Sides.of(scenario, TABLES, 'who looks')
      const [notes, state] = [sides.fence.notes(), await sides.state()]
      expect(standingOf(notes, state).kind).toBe('postgres')
      expect(notes.position).toEqual(state.reverseStart)
      expect(notes.closed).toBe(true)
      await person.run('note-switchover')
      expect(sides.fence.notes()).toEqual(notes)
    })

    test('an undecided rollback is undone', async () => {
      const person = await stopped()
      await using scenario = person.scenario
      await crashed(person, async (sides) => {
        await sides.switchOver('settle')
        await sides.rollBack('begin')
      })
      expect(await person.standing()).toBe('undecided')
      expect(await refusals(scenario, write('yes'))).toEqual({ sqlite: FENCE, postgres: undefined })
      expect(await person.run('undo-rollback')).toContain('UPDATE 1')
      expect(await person.standing()).toBe('postgres')
    })

    test('a decided rollback: SQLite is opened', async () => {
      const person = await stopped()
      await using scenario = person.scenario
      const before = await person.triggers()
      await crashed(person, async (sides) => {
        await sides.switchOver('settle')
        await sides.rollBack('decide')
      })
      expect(await person.standing()).toBe('decided')
      await person.run('open-sqlite', 3)
      expect(await person.standing()).toBe('sqlite')
      expect(await person.triggers()).toEqual(before)
      expect(await refusals(scenario, write('yes'))).toEqual({ sqlite: undefined, postgres: '25006' })
    })

    test('divided, and SQLite shall lead', async () => {
      const person = await stopped()
      await using scenario = person.scenario
      const before = await person.triggers()
      await crashed(person, (sides) => sides.switchOver('settle'))
      await scenario.postgres(write('only in PostgreSQL'))
      await scenario.postgres(`UPDATE slipway.control SET epoch = 5`)
      expect(await person.standing()).toBe('divided')
      expect(await person.run('close-postgres', 6)).toContain('UPDATE 1')
      expect(await refusals(scenario, write('no'))).toEqual({ sqlite: FENCE, postgres: '25006' })
      await person.run('open-sqlite', 6)
      expect(await person.standing()).toBe('sqlite')
      expect(await person.triggers()).toEqual(before)
      expect(await refusals(scenario, write('yes'))).toEqual({ sqlite: undefined, postgres: '25006' })
    })

    test('divided, and PostgreSQL shall lead', async () => {
      const person = await stopped()
      await using scenario = person.scenario
      const before = await person.triggers()
      await scenario.postgres(`UPDATE slipway.control SET epoch = 4`)
      expect(await person.standing()).toBe('divided')
      await person.run('close-sqlite', 5)
      expect(await refusals(scenario, write('no'))).toEqual({ sqlite: FENCE, postgres: '25006' })
      expect(await person.run('open-postgres', 5)).toContain('UPDATE 1')
      expect(await person.standing()).toBe('postgres')
      expect(await refusals(scenario, write('yes'))).toEqual({ sqlite: FENCE, postgres: undefined })
      for (const event of [
        'UPDATE log SET what = NULL',
        'DELETE FROM keyless',
        `INSERT INTO keyless VALUES ('y')`,
      ])
        expect((await refusals(scenario, event)).sqlite, event).toEqual(FENCE)
      await scenario.postgres(`INSERT INTO keyless VALUES ('z')`)
      await expect(scenario.postgres('INSERT INTO c VALUES (1, 99)')).rejects.toMatchObject({ code: '23503' })
      // Closed once more: the notes alone.
      await person.run('close-sqlite', 6)
      // What slipway does with it afterwards: the fence that was made by hand is one of its own.
      await recover(configOf(scenario), { authority: 'postgres', observer: DEAF })
      expect(await person.standing()).toBe('postgres')
      await recover(configOf(scenario), { authority: 'sqlite', observer: DEAF })
      expect(await person.triggers()).toEqual(before)
      expect(await refusals(scenario, write('back'))).toEqual({ sqlite: undefined, postgres: '25006' })
    })
  },
)

test('every block of the page is tried out', () => {
  const own = readFileSync(new URL(import.meta.url), 'utf8')
  const untried = [...BLOCKS.keys()].filter((name) => !own.includes(`run('${name}'`))
  expect([BLOCKS.size, untried]).toEqual([8, []])
})
