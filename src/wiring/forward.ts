import { join } from 'node:path'
import type { Config } from '../core/config.ts'
import { driftOf } from '../core/drift.ts'
import { Failure } from '../core/errors.ts'
import type { Observer } from '../core/observer.ts'
import type { Phase } from '../core/operator.ts'
import type { PlannedTable } from '../core/plan.ts'
import { planChanges } from '../core/plan-check.ts'
import type { Anew, Stream, StreamFactory } from '../core/ports.ts'
import { Comparer } from '../postgres/comparer.ts'
import type { ControlState } from '../postgres/control-state.ts'
import { CopyWriter } from '../postgres/copy.ts'
import { findBreach } from '../postgres/dormant.ts'
import { introspectTarget } from '../postgres/introspect.ts'
import { migrateOwnSchema } from '../postgres/migrate.ts'
import { checkTarget } from '../postgres/preflight.ts'
import { describeDrift, resync } from '../postgres/resync.ts'
import { BatchWriter } from '../postgres/writer.ts'
import { planCopy } from '../replication/snapshot.ts'
import { backupSource } from '../sqlite/backup.ts'
import {
  type Installation,
  installCapture,
  isIntact,
  readControl,
  type SourceControl,
} from '../sqlite/capture.ts'
import { ChangelogReader } from '../sqlite/changelog.ts'
import { ChunkReader } from '../sqlite/chunks.ts'
import {
  checkFile,
  checkWritable,
  ensureWal,
  isSqliteError,
  openReader,
  readFacts,
  restoreJournal,
  type SourceFacts,
  sourceFailure,
} from '../sqlite/open.ts'
import { ReaderGate } from '../sqlite/reader-gate.ts'
import { WalWake } from '../sqlite/wake.ts'
import { warnOfOldWriter } from '../sqlite/writer-version.ts'
import type { ForwardFacts } from './forward-facts.ts'
import { copied, keptUniques, planForward } from './forward-plan.ts'
import { goOnWith } from './go-on.ts'
import { refuseOtherFile } from './other-file.ts'
import { loadPlan } from './plan-file.ts'
import { readInventory } from './planning.ts'
import type { TargetSession } from './session.ts'

/** Least time between two prunes: each is a commit that may fail an application's deferred transaction (H10). */
const PRUNE_EVERY_MS = 120_000

/** A server that has not answered the smallest question for so long is given up. */
const SILENCE_MS = 15_000

export interface ForwardOptions {
  readonly enableWal: boolean
  readonly backup: boolean
  readonly observer: Observer
}

/**
 * Puts the forward direction together: the source's reader, the target's writer, and everything that must hold
 * between them before a change may flow.
 */
export class ForwardFactory implements StreamFactory {
  readonly #config: Config
  readonly #target: TargetSession
  readonly #options: ForwardOptions
  #prepared = false
  #targetId = ''
  /** When the heartbeat was sent that has no answer yet. */
  #beatingSince: number | undefined
  /** Types that a value was found to need, by table and column. */
  readonly #widened = new Map<string, string>()
  /** Tables whose plan does not fit their values, until they have another one. */
  readonly #outgrown = new Set<string>()
  readonly facts: ForwardFacts = {
    source: undefined,
    targetVersion: '',
    control: undefined,
    backup: undefined,
    warnings: [],
    changelogRows: () => 0,
    gateWaiting: () => undefined,
    silentSince: () => this.#beatingSince,
  }

  constructor(config: Config, target: TargetSession, options: ForwardOptions) {
    this.#config = config
    this.#target = target
    this.#options = options
  }

  /** Checks that change nothing come first, on both sides; then slipway's own schema is made. */
  async #prepare(): Promise<void> {
    const { sqlitePath, postgresSchema } = this.#config
    checkFile(sqlitePath)
    checkWritable(sqlitePath)
    const reader = openReader(sqlitePath)
    let facts: SourceFacts
    let noted: SourceControl | undefined
    try {
      facts = readFacts(reader, sqlitePath)
      noted = readControl(reader)
      if (facts.journalMode !== 'wal' && !this.#options.enableWal) await ensureWal(sqlitePath, facts, false)
    } finally {
      reader.close()
    }
    this.facts.source = facts
    const oldWriter = await warnOfOldWriter(sqlitePath)
    if (oldWriter !== undefined) this.#warn(oldWriter)
    const { id, version, warnings } = await checkTarget(this.#target.connection, postgresSchema)
    this.facts.targetVersion = version
    this.facts.warnings.push(...warnings)
    await migrateOwnSchema(this.#target.connection, this.#target.url)
    this.#targetId = id
    // A server that has forgotten this migration gets it back under the identity that the source knows.
    const [identity, name] = noted?.target === id ? noted.owner.split(' ') : []
    await this.#target.control.create(
      sqlitePath,
      postgresSchema,
      name === this.#config.migrationName ? identity : undefined,
    )
    this.#prepared = true
  }

  async acquire(): ReturnType<StreamFactory['acquire']> {
    if (!this.#prepared) await this.#prepare()
    const control = await this.#control()
    refuseOtherFile(this.#config, control, this.#owner(control))
    return await this.#target.control.acquire(this.#target.lock)
  }

  async heartbeat(): Promise<boolean> {
    if (this.#beatingSince !== undefined) {
      // A server that takes connections and never answers (frozen, or cut off) would be waited for without end.
      if (Date.now() - this.#beatingSince > SILENCE_MS) {
        this.#options.observer.warn(
          `PostgreSQL has not answered for ${SILENCE_MS / 1000} s: connecting again`,
        )
        this.#beatingSince = undefined
        this.#target.cut()
      }
      return true
    }
    this.#beatingSince = Date.now()
    try {
      return await this.#target.control.heartbeat(this.#target.lock)
    } finally {
      this.#beatingSince = undefined
    }
  }

  async open(asked: Anew | undefined, signal: AbortSignal): Promise<Stream> {
    try {
      return await this.#open(asked, signal)
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(this.#config.sqlitePath, error) : error
    }
  }

  async #open(asked: Anew | undefined, signal: AbortSignal): Promise<Stream> {
    const { sqlitePath } = this.#config
    let anew = asked?.reason
    if (asked?.table !== undefined) this.#outgrown.add(asked.table)
    if (asked?.widen !== undefined)
      this.#widened.set(`${asked.widen.table}\0${asked.widen.column}`, asked.widen.type)
    const control = await this.#control()
    if (control.authority !== 'sqlite') {
      throw new Failure({
        code: 'wrong_authority',
        message: `the migration is in phase ${control.phase}: ${control.authority} has the authority, nothing is copied from SQLite`,
        remedy: 'See: slipway status',
      })
    }
    checkFile(sqlitePath)
    await using stack = new AsyncDisposableStack()
    const reader = openReader(sqlitePath)
    stack.defer(() => void reader.close())
    let facts = readFacts(reader, sqlitePath)
    this.facts.source = facts
    const limit = this.#config.maxWalMb * 1024 * 1024
    const gate = new ReaderGate(sqlitePath, limit)
    this.facts.gateWaiting = () => gate.waiting
    const owner = this.#owner(control)
    const noted = readControl(reader)
    const goesOn =
      anew === undefined &&
      control.phase !== 'new' &&
      noted !== undefined &&
      noted.installation === control.installation &&
      isIntact(reader, noted)
    const breach = goesOn ? await findBreach(this.#target.connection, control.tables) : undefined
    if (breach !== undefined) anew = breach
    // Before the values are looked at: outside WAL a reader would stand in the application's way, and it in ours.
    const consent = this.#options.enableWal || noted !== undefined
    const { changedFrom } = await ensureWal(sqlitePath, facts, consent)
    facts = { ...facts, journalMode: 'wal' }
    const inventory = readInventory(this.#config, reader)
    if (inventory.tables.length === 0) {
      throw new Failure({
        code: 'nothing_to_move',
        message: `${sqlitePath} has no table to move${inventory.skipped.map((s) => `; ${s.name}: ${s.reason}`).join('')}`,
        remedy: 'Name the file that the application really uses, and check TABLES and EXCLUDE_TABLES.',
      })
    }
    const added = inventory.tables.filter((table) => !control.tables.some((spec) => spec.name === table.name))
    if (goesOn && added.length > 0)
      anew = `TABLES now names more: ${added.map((table) => table.name).join(', ')}`
    let planned: readonly PlannedTable[]
    let installation: Installation | undefined
    if (goesOn && anew === undefined) {
      planned = goOnWith(control.tables, inventory)
      for (const line of planChanges(loadPlan(this.#config), control.tables))
        this.#warn(`the plan was changed, which takes a new copy to follow (slipway uninstall): ${line}`)
    } else {
      if (anew === undefined && control.phase !== 'new')
        anew = 'the schema of the source was changed while slipway was away'
      try {
        planned = await planForward({
          config: this.#config,
          connection: this.#target.connection,
          reader,
          control,
          gate,
          widened: this.#widened,
          outgrown: this.#outgrown,
          signal,
          step: (text) => this.#options.observer.step(text),
          warn: (text) => this.#warn(text),
        })
        if (control.phase === 'new') await this.#backup(signal)
        installation = installCapture({
          path: sqlitePath,
          owner,
          target: this.#targetId,
          tables: planned,
          journalModeBefore: changedFrom,
          plannedFor: inventory.schemaVersion,
        })
      } catch (error) {
        reader.close()
        // What is refused leaves the file in the mode that it had.
        if (changedFrom !== undefined && noted === undefined) await restoreJournal(sqlitePath, changedFrom)
        throw error
      }
      for (const warning of installation.warnings) this.#warn(warning)
      this.#options.observer.step(`capture installed on ${planned.length} tables`)
    }
    this.facts.source = facts
    const tables = planned.map(({ spec }) => spec)
    const encoding = facts.encoding
    const workers = Math.max(1, this.#config.snapshotWorkers)
    const { control: holder, connection } = this.#target
    const sessions = Array.from({ length: workers }, (_, index) => this.#target.connect(`copy ${index}`))
    const apply = this.#target.connect('apply')
    stack.defer(async () => void (await Promise.all([...sessions, apply].map((session) => session.close()))))
    const copySource = new ChunkReader(reader, {
      path: sqlitePath,
      gate,
      encoding,
      chunkRows: this.#config.chunkRows,
      captured: true,
    })
    const copyTarget = new CopyWriter(connection, sessions, holder, planned, control.tables, (text) =>
      this.#warn(text),
    )
    if (installation !== undefined && copied(control)) {
      const drift = driftOf(control.tables, planned)
      for (const text of describeDrift(drift)) this.#warn(text)
      await resync(connection, holder, {
        drift,
        s0: installation.head,
        installation: installation.control.installation,
        reason: anew ?? 'the schema of the source was changed',
        warn: (text) => this.#warn(text),
      })
    } else if (installation !== undefined) {
      if (anew !== undefined) this.#options.observer.warn(`copying anew: ${anew}`)
      await copyTarget.begin(
        installation.head,
        planCopy(copySource, tables, workers),
        installation.control.installation,
      )
    }
    this.#outgrown.clear()
    const wake = new WalWake(sqlitePath)
    stack.defer(() => wake.close())
    const changes = stack.use(
      new ChangelogReader({
        path: sqlitePath,
        encoding,
        chunkRows: this.#config.chunkRows,
        tables,
        installation: installation?.control.installation ?? control.installation,
        gate,
        wake,
        spoolFolder: join(this.#config.stateDir, 'spool'),
        retentionSeconds: this.#config.changelogRetentionSeconds,
        pruneEveryMs: PRUNE_EVERY_MS,
      }),
    )
    this.facts.changelogRows = () => changes.size()
    this.facts.control = await holder.read()
    const shapes = await introspectTarget(connection, this.#config.postgresSchema)
    const writer = new BatchWriter(
      apply,
      holder,
      shapes,
      (text) => this.#warn(text),
      tables,
      this.#config.history,
    )
    const now = await this.#control()
    const dirty = new Map(now.dirty)
    const held = stack.move()
    return {
      tables,
      source: changes,
      target: writer,
      comparer: new Comparer(apply, holder, writer, keptUniques(planned, shapes)),
      installation: now.installation,
      dirty,
      clean: async () => {
        await holder.note({ dirty: {} })
        dirty.clear()
        this.facts.control = await holder.read()
      },
      copySource,
      copyTarget,
      workers,
      phase: now.phase,
      newest: async () => (await holder.checkpoint())?.newest ?? 0n,
      breach: () => findBreach(connection, tables),
      enter: async (next: Phase) => {
        await holder.note({ phase: next })
        this.facts.control = await holder.read()
      },
      [Symbol.asyncDispose]: async () => {
        this.facts.changelogRows = () => 0
        this.facts.gateWaiting = () => undefined
        await held.disposeAsync()
      },
    }
  }

  #owner(control: ControlState): string {
    return `${control.identity} ${this.#config.migrationName}`
  }

  async #control(): Promise<ControlState> {
    const control = await this.#target.control.read()
    if (control === undefined) {
      // The server was put back to before the migration: it is made again, and everything copied anew.
      this.#prepared = false
      throw new Failure({
        code: 'control_missing',
        policy: 'transient',
        message: 'the server has forgotten this migration: it is set up again',
      })
    }
    this.facts.control = control
    return control
  }

  async #backup(signal: AbortSignal): Promise<void> {
    if (!this.#options.backup) return
    this.#options.observer.step('backup of the source')
    let told = Date.now()
    const backup = await backupSource(
      this.#config.sqlitePath,
      this.#config.backupDir,
      signal,
      (done, total) => {
        if (Date.now() - told < 2_000) return
        told = Date.now()
        this.#options.observer.step(`backup: ${Math.floor((100 * done) / Math.max(1, total))} %`)
      },
    )
    for (const warning of backup.warnings) this.#warn(warning)
    this.facts.backup = backup
    await this.#target.control.note({ backup })
    this.#options.observer.step(`backup at ${backup.path}, checked`)
  }

  #warn(text: string): void {
    if (this.facts.warnings.includes(text)) return
    this.facts.warnings.push(text)
    this.#options.observer.warn(text)
  }
}
