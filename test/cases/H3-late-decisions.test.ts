import type pg from 'pg'
import { expect, test } from 'vitest'
import type { Notes, Passage } from '../../src/core/authority.ts'
import { until } from '../support/daemon.ts'
import { GateRig, type Holder, refusal } from '../support/gate.ts'
import { createDatabase, startOwnServer } from '../support/postgres.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

// Reading the decision row decides nothing: a COMMIT may lie in a socket's buffer, wait for a standby, or have been
// answered to nobody. Decision and undo are compare-and-sets on one locked row, so whichever comes first counts.

const SIGNAL = new AbortController().signal
const PASSAGES: readonly Passage[] = ['switchover', 'rollback']
const INSERT = `INSERT INTO t (a) VALUES ('x')`

/** Who leads before and after. */
const SIDES = {
  switchover: { before: 'sqlite', after: 'postgres' },
  rollback: { before: 'postgres', after: 'sqlite' },
} as const

async function standBefore(rig: GateRig, passage: Passage): Promise<void> {
  if (passage === 'rollback') await rig.pass('switchover')
}

async function proposed(holder: Holder, passage: Passage) {
  const notes = await holder.gate.begin(passage)
  if (passage === 'switchover') await holder.gate.prepare()
  const decision = await holder.gate.open(notes, passage, 1_000, SIGNAL)
  await decision.propose(new Map())
  return { decision, epoch: notes.epoch }
}

/** The holder of the rig again, through a proxy. */
async function through(rig: GateRig, proxy: { readonly url: string }): Promise<Holder> {
  const holder = rig.again(proxy.url)
  await holder.control.acquire(holder.lock)
  return holder
}

/** From now on a synchronous commit waits for a standby that does not exist. */
async function waitForNobody(admin: pg.Client, probe: pg.Client): Promise<void> {
  await admin.query(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`)
  await admin.query('SELECT pg_reload_conf()')
  let free = true
  await until(
    async () => {
      if (free) {
        free = false
        const message = probe.query(`SELECT pg_logical_emit_message(true, 'probe', '')`)
        message.then(
          () => {
            free = true
          },
          () => undefined,
        )
      }
      const { rows } = await admin.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
      return rows.length > 0
    },
    { ms: 20_000, describe: () => 'nobody waits for a standby' },
  )
}

const isDecision = (piece: Buffer): boolean => piece.includes('setval') && piece.includes('COMMIT')

for (const passage of PASSAGES) {
  const { before, after } = SIDES[passage]
  const openTo = (authority: string) => (authority === 'postgres' ? undefined : '25006')

  test(`a ${passage} whose answer is lost was decided`, async () => {
    await using database = await createDatabase()
    await using rig = await GateRig.create({ url: database.url })
    await standBefore(rig, passage)
    await using proxy = await TcpProxy.start(database.url)
    const holder = await through(rig, proxy)
    const { decision, epoch } = await proposed(holder, passage)
    proxy.judge = (piece) => (isDecision(piece) ? 'deaf' : 'pass')
    await expect(decision.commit()).rejects.toMatchObject({ code: 'outcome_unknown', policy: 'transient' })
    await decision[Symbol.asyncDispose]()
    expect(await holder.gate.undo(passage, epoch)).toBe('decided')
    expect(holder.control.epoch).toBe(epoch + 1)
    expect(await rig.state()).toMatchObject({ authority: after, epoch: epoch + 1 })
    expect(await refusal(await database.connect(), INSERT)).toBe(openTo(after))
  })

  test(`the COMMIT of a ${passage} that arrives after its undo changes nothing`, async () => {
    await using database = await createDatabase()
    await using rig = await GateRig.create({ url: database.url })
    await standBefore(rig, passage)
    await using proxy = await TcpProxy.start(database.url)
    const holder = await through(rig, proxy)
    const { decision, epoch } = await proposed(holder, passage)
    proxy.judge = (piece) => (isDecision(piece) ? 'hold' : 'pass')
    await expect(decision.commit()).rejects.toMatchObject({ code: 'outcome_unknown' })
    await decision[Symbol.asyncDispose]()
    expect(await holder.gate.undo(passage, epoch)).toBe('undone')
    expect(proxy.release()).toBeGreaterThan(0)
    // By another way than the one that it took.
    expect(await rig.state()).toMatchObject({ authority: before, epoch })
    expect(await refusal(await database.connect(), INSERT)).toBe(openTo(before))
    // And the next attempt works.
    await proxy[Symbol.asyncDispose]()
    await rig.pass(passage)
    expect(await rig.state()).toMatchObject({ authority: after, epoch: epoch + 1 })
  })

  test(`a ${passage} whose COMMIT waits for a standby cannot be undone, and is seen as decided`, async () => {
    await using server = await startOwnServer()
    await using rig = await GateRig.create({ url: server.url })
    await standBefore(rig, passage)
    const admin = await server.connect()
    await admin.query('SET synchronous_commit = off')
    const { decision, epoch } = await proposed(rig.first, passage)
    await waitForNobody(admin, await server.connect())
    await expect(decision.commit()).rejects.toMatchObject({ code: 'outcome_unknown' })
    await decision[Symbol.asyncDispose]()
    // It is read as it was before, and that proves nothing.
    expect(await rig.state()).toMatchObject({ authority: before, epoch })
    await expect(rig.gate.undo(passage, epoch)).rejects.toMatchObject({ policy: 'transient' })
    const parked = refusal(await server.connect(), `SET synchronous_commit = off; ${INSERT}`)
    await admin.query('ALTER SYSTEM RESET synchronous_standby_names')
    await admin.query('SELECT pg_reload_conf()')
    const outcome = await until(
      () =>
        rig.gate.undo(passage, epoch).catch((error: { policy?: string }) => {
          if (error.policy !== 'transient') throw error
          return undefined
        }),
      { ms: 20_000, describe: () => 'nobody learns what was decided' },
    )
    expect(outcome).toBe('decided')
    // Before a switchover lands it was refused; before a rollback lands it waits, and is refused then.
    expect(await parked).toBe('25006')
    expect(await refusal(admin, INSERT)).toBe(openTo(after))
  }, 60_000)

  test(`a ${passage} whose backend is stopped: undo waits, and decides once it goes on`, async () => {
    await using server = await startOwnServer()
    await using rig = await GateRig.create({ url: server.url })
    await standBefore(rig, passage)
    const admin = await server.connect()
    const { decision, epoch } = await proposed(rig.first, passage)
    const pid = await rig.decisionPid(admin)
    process.kill(pid, 'SIGSTOP')
    try {
      await expect(decision.commit()).rejects.toMatchObject({ code: 'outcome_unknown' })
      await decision[Symbol.asyncDispose]()
      await expect(rig.gate.undo(passage, epoch)).rejects.toMatchObject({ policy: 'transient' })
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    const outcome = await until(() => rig.gate.undo(passage, epoch).catch(() => undefined), {
      ms: 20_000,
      describe: () => 'nobody learns what was decided',
    })
    const state = await rig.state()
    expect(state.authority).toBe(outcome === 'decided' ? after : before)
    expect(await refusal(admin, INSERT)).toBe(openTo(state.authority))
  }, 60_000)

  test(`a coordinator that slept through its replacement decides no ${passage} and opens nothing`, async () => {
    await using database = await createDatabase()
    await using rig = await GateRig.create({ url: database.url })
    await standBefore(rig, passage)
    const { decision, epoch } = await proposed(rig.first, passage)
    const second = rig.holder('second')
    await rig.takeOver(second, await database.connect())
    expect(await second.gate.undo(passage, epoch)).toBe('undone')
    await expect(decision.commit()).rejects.toMatchObject({ policy: 'transient' })
    await decision[Symbol.asyncDispose]()
    const asleep = rig.gate
    expect(await asleep.undo(passage, epoch)).toBe('displaced')
    await expect(asleep.begin(passage)).rejects.toMatchObject({ code: 'displaced' })
    const late = { authority: before, epoch, attempt: 1 }
    await expect(asleep.open(late, passage, 500, SIGNAL)).rejects.toMatchObject({ code: 'displaced' })
    await expect(asleep.pause('no', new Date())).rejects.toMatchObject({ code: 'displaced' })
    await expect(asleep.resume()).rejects.toMatchObject({ code: 'displaced' })
    expect(await rig.state(second)).toMatchObject({ authority: before, epoch })
    expect(await refusal(await database.connect(), INSERT)).toBe(openTo(before))
  })

  /** All steps from the opened transaction to its COMMIT; whether it was decided. */
  const decides = async (rig: GateRig, notes: Notes): Promise<boolean> => {
    try {
      await using decision = await rig.gate.open(notes, passage, 1_000, SIGNAL)
      await decision.propose(new Map())
      await decision.commit()
      return true
    } catch (error) {
      expect(error).toMatchObject({ code: 'displaced' })
      return false
    }
  }

  test(`a coordinator that slept before its decision decides no ${passage} any more`, async () => {
    await using database = await createDatabase()
    await using rig = await GateRig.create({ url: database.url })
    await standBefore(rig, passage)
    const notes = await rig.gate.begin(passage)
    if (passage === 'switchover') await rig.gate.prepare()
    const second = rig.holder('second')
    await rig.takeOver(second, await database.connect())
    expect(await second.gate.undo(passage, notes.epoch)).toBe('undone')
    // It has drained long ago, and the side that leads has taken writes since.
    expect(await decides(rig, notes)).toBe(false)
    expect(await rig.state(second)).toMatchObject({ authority: before, epoch: notes.epoch })
    expect(await refusal(await database.connect(), INSERT)).toBe(openTo(before))
  })

  test(`an attempt of a ${passage} that was undone decides nothing, though another one has begun`, async () => {
    await using database = await createDatabase()
    await using rig = await GateRig.create({ url: database.url })
    await standBefore(rig, passage)
    const notes = await rig.gate.begin(passage)
    expect(await rig.gate.undo(passage, notes.epoch)).toBe('undone')
    await rig.gate.begin(passage)
    if (passage === 'switchover') await rig.gate.prepare()
    expect(await decides(rig, notes)).toBe(false)
    expect(await rig.state()).toMatchObject({ authority: before, epoch: notes.epoch })
    expect(await refusal(await database.connect(), INSERT)).toBe(openTo(before))
  })
}
