import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type HookFacts, Hooks, runHook } from '../../src/wiring/hooks.ts'
import { until, Workspace } from '../support/daemon.ts'

const FACTS: HookFacts = { phase: 'replicating', authority: 'sqlite', epoch: 7 }
const PASSWORD = 'hunter2-hunter2'

const workspaces: Workspace[] = []
afterEach(() => {
  vi.unstubAllEnvs()
  for (const workspace of workspaces.splice(0)) workspace[Symbol.dispose]()
})

function file(name: string): string {
  const workspace = new Workspace()
  workspaces.push(workspace)
  return workspace.file(name)
}

function settings(hookCommand: string | undefined, hookTimeoutMs = 20_000) {
  return {
    hookCommand,
    hookTimeoutMs,
    postgresUrl: `postgres://news:${PASSWORD}@localhost/news`,
    controlToken: 'c0ntr0l-token-of-the-daemon',
    appSqliteUrl: undefined,
    appPostgresUrl: `postgresql+psycopg://app:app-${PASSWORD}@localhost/news`,
  }
}

function never(): AbortSignal {
  return new AbortController().signal
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // A zombie that nobody has waited for is gone.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

describe('one hook', () => {
  test('is told what happens', async () => {
    const told = file('told')
    const command = `echo "$SLIPWAY_EVENT $SLIPWAY_PHASE $SLIPWAY_AUTHORITY $SLIPWAY_EPOCH" > '${told}'`
    const result = await runHook(settings(command), 'before_switchover', FACTS, never())
    expect(result).toMatchObject({ ok: true, reason: '', output: '' })
    expect(readFileSync(told, 'utf8')).toBe('before_switchover replicating sqlite 7\n')
  })

  test('there is none', async () => {
    expect(await runHook(settings(undefined), 'phase', FACTS, never())).toBeUndefined()
  })

  test('gets the environment without what is secret of slipway', async () => {
    const secret = [
      'POSTGRES_URL',
      'CONTROL_TOKEN',
      'APP_SQLITE_URL',
      'APP_POSTGRES_URL',
      'DATABASE_URL',
      'PGPASSWORD',
    ]
    for (const name of [...secret, ...secret.map((name) => `SLIPWAY_${name}`), 'TELEGRAM_TOKEN'])
      vi.stubEnv(name, 'x')
    const result = await runHook(settings('env'), 'phase', FACTS, never())
    const names = result?.output.split('\n').map((line) => line.split('=')[0]?.replace('SLIPWAY_', '') ?? '')
    expect(names).toEqual(expect.arrayContaining(['PATH', 'TELEGRAM_TOKEN', 'EVENT']))
    expect(names?.filter((name) => secret.includes(name))).toEqual([])
  })

  test('that fails says how, and the end of what it printed', async () => {
    const command = 'seq 1 5000; echo "went wrong" >&2; exit 3'
    const result = await runHook(settings(command), 'phase', FACTS, never())
    expect(result).toMatchObject({ ok: false, reason: 'it ended with 3' })
    expect(result?.output).toContain('went wrong')
    expect(result?.output.length).toBeLessThanOrEqual(4096)
    const killed = await runHook(settings('kill -KILL $$'), 'phase', FACTS, never())
    expect(killed?.reason).toBe('SIGKILL ended it')
  })

  test('prints no secret', async () => {
    const key = '123456:AAE-9xY_zLongBotKey01'
    const command = `set -x; echo https://api.telegram.org/bot${key}/x ${PASSWORD} app-${PASSWORD} c0ntr0l-token-of-the-daemon`
    const result = await runHook(settings(command), 'phase', FACTS, never())
    expect(result?.ok).toBe(true)
    expect(result?.output).toContain('api.telegram.org')
    for (const secret of ['AAE-9xY_zLongBotKey01', PASSWORD, 'c0ntr0l-token'])
      expect(result?.output).not.toContain(secret)
  })

  test('that takes too long is ended with everything that it has started', async () => {
    const pids = file('pids')
    // The shell ignores SIGTERM, and so does its child.
    const command = `trap '' TERM; sleep 600 & echo $$ $! > '${pids}'; wait`
    const result = await runHook(settings(command, 500), 'phase', FACTS, never())
    expect(result).toMatchObject({ ok: false, reason: 'it did not end within 500 ms (HOOK_TIMEOUT_MS)' })
    const [shell, child] = readFileSync(pids, 'utf8').trim().split(' ').map(Number)
    expect([shell, child]).toEqual([expect.any(Number), expect.any(Number)])
    await until(() => !alive(shell!) && !alive(child!), { ms: 5_000, describe: () => 'they live on' })
  })

  test('may leave a child in the background that keeps its output open', async () => {
    const pid = file('pid')
    const result = await runHook(settings(`sleep 600 & echo $! > '${pid}'`), 'phase', FACTS, never())
    expect(result?.ok).toBe(true)
    const child = Number(readFileSync(pid, 'utf8'))
    expect(alive(child)).toBe(true)
    process.kill(child, 'SIGKILL')
  })

  test('ends when it is no longer wanted', async () => {
    const abort = new AbortController()
    const pid = file('pid')
    const run = runHook(settings(`echo $$ > '${pid}'; exec sleep 600`), 'phase', FACTS, abort.signal)
    const expected = expect(run).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
    await until(() => existsSync(pid) && readFileSync(pid, 'utf8') !== '', {
      ms: 5_000,
      describe: () => 'it did not start',
    })
    abort.abort()
    await expected
    expect(alive(Number(readFileSync(pid, 'utf8')))).toBe(false)
  })

  test('that cannot be started', async () => {
    vi.stubEnv('PATH', '/nowhere')
    const result = await runHook(settings('true'), 'phase', FACTS, never())
    expect(result?.ok).toBe(false)
    expect(result?.reason).toMatch(/could not be started/)
  })
})

describe('the hooks of a daemon', () => {
  function hooks(command: string, timeout?: number) {
    const steps: string[] = []
    const warnings: string[] = []
    const made = new Hooks({
      settings: settings(command, timeout),
      step: (text) => steps.push(text),
      warn: (text) => warnings.push(text),
    })
    return { made, steps, warnings }
  }

  test('a before_* that fails refuses', async () => {
    const { made, warnings } = hooks('echo not today; exit 1')
    await expect(made.before('rollback', FACTS, never())).rejects.toThrow(
      expect.objectContaining({
        code: 'hook_refused',
        status: 412,
        message: 'HOOK_COMMAND refused before_rollback: it ended with 1',
      }),
    )
    expect(warnings).toEqual(['hook before_rollback: it ended with 1; it printed: not today'])
    await expect(hooks('exit 0').made.before('switchover', FACTS, never())).resolves.toBeUndefined()
  })

  test('a before_* that takes too long refuses', async () => {
    const { made } = hooks('sleep 600', 200)
    await expect(made.before('switchover', FACTS, never())).rejects.toThrow('did not end within 200 ms')
  })

  test('all others are told in their order, and their failures are only told', async () => {
    const log = file('log')
    // The first one takes longest.
    const command = `[ "$SLIPWAY_EPOCH" = 1 ] && sleep 0.3; echo "$SLIPWAY_EVENT $SLIPWAY_EPOCH" >> '${log}'; [ "$SLIPWAY_EPOCH" != 2 ]`
    const { made, steps, warnings } = hooks(command)
    made.tell('phase', { ...FACTS, epoch: 1 })
    made.tell('phase', { ...FACTS, epoch: 2 })
    made.tell('after_switchover', { ...FACTS, epoch: 3 })
    await made.idle()
    expect(readFileSync(log, 'utf8')).toBe('phase 1\nphase 2\nafter_switchover 3\n')
    expect(steps).toHaveLength(2)
    expect(warnings).toEqual(['hook phase: it ended with 1'])
  })

  test('none runs inside the pause, and none is forgotten', async () => {
    const [log, go] = [file('log'), file('go')]
    const command = `echo >> '${go}.begun'; while [ ! -e '${go}' ]; do sleep 0.02; done; echo "$SLIPWAY_EPOCH" >> '${log}'`
    const { made } = hooks(command)
    made.tell('phase', { ...FACTS, epoch: 1 })
    made.tell('phase', { ...FACTS, epoch: 2 })
    await until(() => existsSync(`${go}.begun`), { ms: 5_000, describe: () => 'it did not start' })
    const resting = made.rest()
    writeFileSync(go, '')
    // The one that ran is waited for; the next does not begin.
    const rest = await resting
    expect(readFileSync(log, 'utf8')).toBe('1\n')
    made.tell('after_switchover', { ...FACTS, epoch: 3 })
    await made.idle()
    expect(readFileSync(log, 'utf8')).toBe('1\n')
    rest[Symbol.dispose]()
    rest[Symbol.dispose]()
    await made.idle()
    expect(readFileSync(log, 'utf8')).toBe('1\n2\n3\n')
  })

  test('a stop ends what runs and forgets what waits', async () => {
    const log = file('log')
    const { made } = hooks(`echo "$SLIPWAY_EPOCH" >> '${log}'; exec sleep 600`)
    made.tell('phase', { ...FACTS, epoch: 1 })
    made.tell('phase', { ...FACTS, epoch: 2 })
    await until(() => existsSync(log) && readFileSync(log, 'utf8') !== '', {
      ms: 5_000,
      describe: () => 'it did not start',
    })
    await made.stop()
    made.tell('phase', { ...FACTS, epoch: 3 })
    await made.idle()
    expect(readFileSync(log, 'utf8')).toBe('1\n')
  })

  test('too many that wait: the oldest go, and that is told', async () => {
    const log = file('log')
    const { made, warnings } = hooks(`echo "$SLIPWAY_EPOCH" >> '${log}'`)
    const rest = await made.rest()
    for (let epoch = 1; epoch <= 102; epoch++) made.tell('phase', { ...FACTS, epoch })
    expect(warnings).toEqual(Array(2).fill('hook phase was left out: 100 others wait'))
    rest[Symbol.dispose]()
    await made.idle()
    const epochs = readFileSync(log, 'utf8').trim().split('\n')
    expect([epochs.length, epochs[0], epochs.at(-1)]).toEqual([100, '3', '102'])
  })
})
