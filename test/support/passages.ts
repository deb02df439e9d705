/** Changes of authority as their users ask for them, and what a refused or undone one must not leave behind. */
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import type { SwitchRun } from '../../src/core/switch-run.ts'
import { type Environment, until, Workspace } from './daemon.ts'
import { type Dump, dump } from './dump.ts'
import { attempt } from './foreign.ts'
import type { Scenario } from './scenario.ts'

export interface Answer {
  readonly status: number
  readonly body: Partial<SwitchRun> & {
    readonly code?: string
    readonly detail?: string
    readonly remedy?: string
    readonly run?: SwitchRun
    readonly guards?: SwitchRun['guards']
  }
}

/** Asks and waits for the end. */
export async function ask(scenario: Scenario, passage: Passage, body: object = {}): Promise<Answer> {
  return (await scenario.daemon.post(`/${passage}`, body)) as Answer
}

type Passage = 'switchover' | 'rollback'

/** The same, where nothing may be in the way; the lag is zero afterwards. */
export async function pass(scenario: Scenario, passage: Passage, body: object = {}): Promise<SwitchRun> {
  const answer = await ask(scenario, passage, body)
  if (answer.status !== 200) {
    throw new Error(
      `${passage}: ${answer.status} ${JSON.stringify(answer.body, null, 1)}\n${scenario.daemon.process.tail()}`,
    )
  }
  await scenario.daemon.caughtUp()
  return answer.body as SwitchRun
}

/** Codes of the guards that do not hold. */
export function refusedBy({ body }: Answer): string[] {
  return (body.guards ?? []).filter((guard) => !guard.ok).map((guard) => guard.code)
}

/** The run has come to a step: the test has its turn. */
export async function atStep(scenario: Scenario, step: string): Promise<void> {
  await until(
    async () => {
      const run = await scenario.daemon.get<SwitchRun>('/switchover')
      return run?.steps.some((one) => one.step === step && one.state === 'running')
    },
    { ms: 30_000, every: 10, describe: () => `no step ${step}\n${scenario.daemon.process.tail()}` },
  )
}

/** A hook that lets a test act between the guards and the change: it waits until the test lets it go on. */
export class Turnstile implements Disposable {
  readonly env: Environment
  readonly #workspace = new Workspace()
  readonly #asked = this.#workspace.file('asked')
  readonly #go = this.#workspace.file('go')

  constructor() {
    const script = this.#workspace.file('hook.sh')
    writeFileSync(
      script,
      `#!/bin/sh
case "$SLIPWAY_EVENT" in before_*) ;; *) exit 0 ;; esac
touch '${this.#asked}'
while [ ! -e '${this.#go}' ]; do sleep 0.02; done
rm -f '${this.#asked}' '${this.#go}'
`,
    )
    chmodSync(script, 0o755)
    this.env = { HOOK_COMMAND: script, HOOK_TIMEOUT_MS: '60000' }
  }

  /** The guards have agreed. */
  async reached(): Promise<void> {
    await until(() => existsSync(this.#asked), { ms: 20_000, describe: () => 'the hook was not called' })
  }

  open(): void {
    writeFileSync(this.#go, '')
  }

  [Symbol.dispose](): void {
    this.#workspace[Symbol.dispose]()
  }
}

const isOurs = (name: string): boolean => name.startsWith('_slipway')

/** What is the application's in its file: slipway's tables, their indexes and its triggers are left out. */
export function applicationDump(path: string): Dump {
  const all = dump(path)
  return {
    ...all,
    schema: all.schema.filter((line) => {
      const [, name = '', table = ''] = line.split('|')
      return !isOurs(name) && !isOurs(table)
    }),
    rows: Object.fromEntries(Object.entries(all.rows).filter(([table]) => !isOurs(table))),
  }
}

/** Everything that a change which did not happen must leave as it was. */
export async function traces(scenario: Scenario): Promise<unknown> {
  const { schema, pragmas } = dump(scenario.path)
  const [notes] = await scenario.write([
    `SELECT name, value FROM _slipway_control
     WHERE name IN ('fence_text', 'pause', 'pauses', 'aside') OR name = 'fence' AND value <> '0' ORDER BY name`,
  ])
  const [control] = await scenario.postgres(
    `SELECT authority, epoch::int, phase, pauses, unsafe, awake, (SELECT count(*)::int FROM slipway.dormant) AS dormant FROM slipway.control`,
  )
  const constraints = await scenario.postgres(
    `SELECT conrelid::regclass::text AS on, conname AS name, convalidated AS valid FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2`,
  )
  const triggers = await scenario.postgres(
    `SELECT tgrelid::regclass::text AS on, tgname AS name, tgenabled AS enabled FROM pg_trigger
     WHERE NOT tgisinternal AND starts_with(tgname, ' slipway') = false ORDER BY 1, 2`,
  )
  const gate = await scenario.postgres(
    `SELECT last_value % 1048576 AS state FROM pg_sequences WHERE schemaname = 'slipway' AND sequencename LIKE 'gate%'`,
  )
  const status = await scenario.daemon.status()
  const isTrigger = (line: string): boolean => line.startsWith('trigger|')
  return {
    schema: schema.filter((line) => !isTrigger(line)),
    // Their order is the one in which they fire, backwards.
    sqliteTriggers: schema.filter(isTrigger),
    integrity: pragmas.integrity_check,
    notes: notes?.rows,
    control,
    constraints,
    triggers,
    gate,
    fences: status?.fences,
    phase: status?.phase,
    state: status?.state,
  }
}

/** Whose locks are on moved tables and on the gate, slipway's own apart from those of a moment. */
export async function locks(scenario: Scenario): Promise<unknown[]> {
  return await scenario.postgres(
    `SELECT a.application_name, l.locktype, l.mode, a.state FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE a.datname = current_database() AND a.application_name LIKE 'slipway%'
       AND (a.state LIKE 'idle in transaction%' OR l.locktype = 'advisory' AND l.classid = 7514)`,
  )
}

/** Errors that an application hears of a write to each side; undefined where it was let through. */
export async function refusals(
  scenario: Scenario,
  sqlite: string,
  postgres: string,
): Promise<{ readonly sqlite: string | undefined; readonly postgres: string | undefined }> {
  const [outcome] = await attempt(scenario.path, [sqlite])
  const error = await scenario.postgres(postgres).then(
    () => undefined,
    (failed: { code?: string; message: string }) => failed.code ?? failed.message,
  )
  return { sqlite: outcome?.error?.message, postgres: error }
}
