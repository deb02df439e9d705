import { existsSync } from 'node:fs'
import type { RecoverOptions, RecoverOutcome } from '../cli/work.ts'
import type { Config } from '../core/config.ts'
import { Failure, messageOf } from '../core/errors.ts'
import type { ControlState } from '../postgres/control-state.ts'
import { closeTarget, openTarget as openGate, unprovenPosition } from '../postgres/recover.ts'
import { readSequences } from '../sqlite/introspect.ts'
import { checkFile, checkWritable, openReader } from '../sqlite/open.ts'
import { closeSource, type FoundNotes, findNotes, openSource } from '../sqlite/recover.ts'
import { writeAuthority } from './authority-file.ts'
import { openTarget, type TargetSession } from './session.ts'

/** Under these the server is not there, as far as anybody can tell from here; a wrong password is something else. */
const GONE = new Set(['target_unreachable', 'target_unknown_host', 'target_no_database'])

/** What of both sides could be reached. */
interface Sides {
  readonly target: TargetSession | undefined
  readonly state: ControlState | undefined
  readonly source: FoundNotes | undefined
  readonly warnings: string[]
}

/**
 * `slipway recover`: opens one side by a person's decision, in an epoch above both notes, and closes the other one
 * first, where it can be reached. Refused while another holder lives. Killed in between it leaves both sides closed,
 * and is run again.
 */
export async function recover(config: Config, options: RecoverOptions): Promise<RecoverOutcome> {
  await using stack = new AsyncDisposableStack()
  const sides = await reach(config, options, stack)
  const { state, source } = sides
  refuseUnfit(options.authority, sides)
  const epoch = Math.max(source?.epoch ?? 0, state?.epoch ?? 0) + 1
  const signal = new AbortController().signal
  const work = { config, sides, epoch, signal, step: (text: string) => options.observer.step(text) }
  const done = options.authority === 'sqlite' ? await leadBySource(work) : await leadByTarget(work)
  const phase = options.authority === 'postgres' ? 'switched_over' : 'catching_up'
  const since = new Date().toISOString()
  try {
    if (await writeAuthority(config, { authority: options.authority, epoch, phase, since }))
      done.push(`${config.authorityFile} says so`)
  } catch (error) {
    sides.warnings.push(messageOf(error))
  }
  return { authority: options.authority, epoch, done, warnings: sides.warnings }
}

/** Both sides as they are; the holder's lock where there is a control row. */
async function reach(
  config: Config,
  { authority, observer }: RecoverOptions,
  stack: AsyncDisposableStack,
): Promise<Sides> {
  const warnings: string[] = []
  const path = config.sqlitePath
  const there = authority === 'sqlite' || existsSync(path)
  if (there) {
    checkFile(path)
    checkWritable(path)
  } else {
    warnings.push(
      `there is no file ${path}: should it come back, it is not fenced; run this command again then`,
    )
  }
  const source = there ? findNotes(path) : undefined
  if (source?.damaged === true)
    warnings.push("slipway's notes in the file were damaged, and are written anew")
  try {
    const target = stack.use(await openTarget(config, (line) => observer.step(line)))
    const state = await target.control.read()
    if (state !== undefined) {
      refuseOther(config, state, source)
      await hold(target)
    }
    return { target, state, source, warnings }
  } catch (error) {
    if (authority === 'postgres' || !(error instanceof Failure) || !GONE.has(error.code)) throw error
    warnings.push(
      `PostgreSQL could not be closed (${error.message}): whoever still writes there writes for nobody. When it is back slipway start finds that, and says what to do`,
    )
    return { target: undefined, state: undefined, source, warnings }
  }
}

/** A daemon that lives would go on with its own idea of who leads. */
async function hold(target: TargetSession): Promise<void> {
  const answer = await target.control.acquire(target.lock)
  if (answer.held) return
  throw new Failure({
    code: 'held_elsewhere',
    exit: 1,
    message: `refused: another slipway (${answer.by}) is working on this migration`,
    remedy: 'Stop the daemon first, then run slipway recover again.',
  })
}

function refuseOther(config: Config, state: ControlState, source: FoundNotes | undefined): void {
  const owner = `${state.identity} ${config.migrationName}`
  if (source === undefined || source.owner === '' || source.owner === owner) return
  throw new Failure({
    code: 'source_owned',
    exit: 1,
    message: `${config.sqlitePath} belongs to another migration (${source.owner}; this is ${owner})`,
    remedy: 'Use the SQLITE_PATH, MIGRATION_NAME, POSTGRES_URL and POSTGRES_SCHEMA that the daemon has.',
  })
}

function refuseUnfit(authority: 'sqlite' | 'postgres', { state, source }: Sides): void {
  const refuse = (code: string, message: string, remedy: string): never => {
    throw new Failure({ code, exit: 1, message: `refused: ${message}`, remedy })
  }
  if (state?.phase === 'finalized')
    refuse('wrong_phase', 'the migration is finalized, there is no way back', 'See: slipway uninstall')
  if (authority === 'postgres') {
    if (state === undefined)
      refuse(
        'migration_unknown',
        'PostgreSQL knows nothing of this migration: there is nothing to open',
        'Check MIGRATION_NAME and POSTGRES_URL; or let SQLite lead: slipway recover --authority sqlite --accept-loss',
      )
    if (state?.phase === 'new' || state?.phase === 'snapshotting')
      refuse(
        'not_copied',
        `the first copy is not finished (phase ${state.phase}): PostgreSQL does not have all rows`,
        'Let SQLite lead: slipway recover --authority sqlite --accept-loss',
      )
  } else if (state === undefined && source?.captured !== true) {
    refuse(
      'not_captured',
      'neither the file nor PostgreSQL knows anything of a migration: nothing is closed',
      'Check SQLITE_PATH, MIGRATION_NAME and POSTGRES_URL.',
    )
  }
}

interface Recovering {
  readonly config: Config
  readonly sides: Sides
  readonly epoch: number
  readonly signal: AbortSignal
  readonly step: (text: string) => void
}

async function leadBySource({ config, sides, epoch, signal, step }: Recovering): Promise<string[]> {
  const { target, state, source, warnings } = sides
  const done: string[] = []
  let used: ReadonlyMap<string, bigint> = new Map()
  if (target !== undefined && state !== undefined) {
    step('closing PostgreSQL: writers in flight are waited for')
    const { connection, control } = target
    used = await closeTarget({ connection, control, state, epoch })
    done.push(`PostgreSQL is closed to applications (was: ${state.authority} in epoch ${state.epoch})`)
    done.push('slipway start installs capture again, and compares every table before it counts as replicated')
  } else if (target !== undefined) {
    warnings.push(
      'PostgreSQL knows nothing of this migration: slipway start sets it up again, and copies anew',
    )
  }
  if (source?.captured === true) {
    await openSource(config.sqlitePath, epoch, used, signal)
    done.push(`SQLite is open (was: ${source.authority} in epoch ${source.epoch}), its triggers are back`)
  } else {
    warnings.push(`slipway has noted nothing in ${config.sqlitePath}: it was not closed`)
  }
  return done
}

async function leadByTarget({ config, sides, epoch, signal, step }: Recovering): Promise<string[]> {
  const { target, state, source, warnings } = sides
  if (target === undefined || state === undefined) throw new Error('PostgreSQL was looked at before')
  const { connection, control } = target
  const done: string[] = []
  let used: ReadonlyMap<string, bigint> = new Map()
  if (source !== undefined) {
    step('closing SQLite')
    await closeSource(
      config.sqlitePath,
      {
        epoch,
        tables: state.tables.map((table) => table.name),
        position: await unprovenPosition(connection),
        owner: `${state.identity} ${config.migrationName}`,
      },
      signal,
    )
    used = sequencesOf(config.sqlitePath)
    done.push(`SQLite is fenced (was: ${source.authority} in epoch ${source.epoch})`)
  }
  const reason = 'slipway recover opened PostgreSQL: SQLite is compared whole before a rollback is safe'
  warnings.push(...(await openGate({ connection, control, state, epoch }, used, reason)))
  done.push(`PostgreSQL is open (was: ${state.authority} in epoch ${state.epoch})`)
  done.push('slipway start compares every table with SQLite before a rollback counts as safe')
  return done
}

function sequencesOf(path: string): Map<string, bigint> {
  const reader = openReader(path)
  try {
    return readSequences(reader)
  } finally {
    reader.close()
  }
}
