import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import path from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Api, createApi } from '../../src/api/server.ts'
import { createClient } from '../../src/cli/client.ts'
import { runCli } from '../../src/cli/program.ts'
import { follow } from '../../src/cli/switch-follow.ts'
import { Terminal } from '../../src/cli/terminal.ts'
import { NO_RUN, type SwitchRun } from '../../src/core/switch-run.ts'
import { createMetrics } from '../../src/metrics.ts'
import {
  DRY_RUN,
  FakeOperator,
  GUARDS,
  refusedByGuards,
  running,
  STATUS,
  SWITCHED,
  SWITCHING,
  UNDONE,
  undone,
} from '../api/fake-operator.ts'
import { fixtureWork } from './fixture-work.ts'
import { type Ended, folder, run, start } from './run.ts'

const TOKEN = 'test-token-1'
const DATABASES = ['./a.db', 'postgres://u:hunter22@h/db']
let operator: FakeOperator
let api: Api

beforeAll(async () => {
  // One server: what it asks is replaced for each test.
  operator = new FakeOperator()
  api = createApi({
    operator,
    registry: createMetrics().registry,
    token: TOKEN,
    host: '127.0.0.1',
    port: 0,
    version: '1.2.3',
    logger: { error: () => {} },
    scrub: (text) => text,
  })
  await api.start()
})
afterAll(() => api.stop())
beforeEach(() => {
  const { switching } = new FakeOperator()
  Object.assign(operator, { now: { ...STATUS }, run: NO_RUN, switching })
  for (const list of [operator.switches, operator.finalized, operator.pausedWrites]) list.splice(0)
})

const env = () => ({ CONTROL_URL: api.url!, CONTROL_TOKEN: TOKEN })
const ask = (...args: string[]) => run(args, env())

/** A run that goes on until it is told how it ended. */
function goingOn(first: SwitchRun = SWITCHING) {
  const { promise, resolve } = Promise.withResolvers<SwitchRun>()
  operator.switching = () => {
    operator.see(first)
    return promise
  }
  return { ends: resolve }
}

describe('switchover and rollback', () => {
  test('tells each step, then who takes the writes, and how long nobody could write', async () => {
    const { code, stdout, stderr } = await ask('switchover')
    expect(code).toBe(0)
    expect(operator.switches).toEqual([
      {
        passage: 'switchover',
        wait_seconds: 60,
        dry_run: false,
        max_pause_ms: undefined,
        verify: 'recent',
        override: [],
        force: false,
      },
    ])
    expect(stderr).toMatch(/^✓ guards +12\.3 ms +3 are well\n✓ wait for lag zero +810 ms\n✓ SQLite's write/m)
    expect(stdout).toBe(
      'PostgreSQL takes the writes, epoch 2; writes paused for 38.4 ms, 12 changes drained meanwhile.\nNext: slipway status\n',
    )
  })

  test('the options are passed on, in both directions', async () => {
    await ask(
      'switchover',
      ...['--wait', '0.5', '--max-pause', '900', '--verify', 'full'],
      ...['--override', 'backup,lag', 'disk'],
    )
    await ask('rollback', '--force', '--wait', '1')
    expect(operator.switches).toEqual([
      expect.objectContaining({
        wait_seconds: 0.5,
        max_pause_ms: 900,
        verify: 'full',
        override: ['backup', 'lag', 'disk'],
      }),
      expect.objectContaining({ passage: 'rollback', wait_seconds: 1, force: true, override: [] }),
    ])
  })

  test('a dry run: steps, guards and the pause to expect', async () => {
    const well = await ask('switchover', '--dry-run')
    expect([well.code, well.stderr]).toEqual([0, ''])
    expect(well.stdout).toMatch(/^guard +ok +value +limit +overridable$/m)
    expect(well.stdout).toMatch(/^phase +✓ +replicating +replicating +no$/m)
    expect(well.stdout).toMatch(/^retention +✓ +yes +yes +yes$/m)
    expect(well.stdout).toMatch(
      /^A switchover would give the writes to PostgreSQL after a pause of about 41 ms\. Nothing was changed\.\nNext: slipway switchover\n$/m,
    )
    const guards = [...GUARDS, { ...GUARDS[1]!, code: 'verify', ok: false, remedy: 'slipway verify' }]
    operator.switching = async () => ({ ...DRY_RUN, guards })
    const not = await run(['switchover', '--dry-run'], { ...env(), npm_lifecycle_event: 'switchover' })
    expect(not.code).toBe(1)
    expect(not.stdout).toMatch(/^verify +✗ +0\.01 +5 +yes\n {4}→ npm run verify$/m)
    expect(not.stdout).toContain(
      'would be refused by 1 guard: verify. Nothing was changed.\nNext: npm run verify\n',
    )
    operator.switching = async () => ({
      ...DRY_RUN,
      guards: guards.map((one) => ({ ...one, overridden: !one.ok })),
    })
    const overridden = await ask('switchover', '--dry-run', '--override', 'verify')
    expect(overridden.code).toBe(0)
    expect(overridden.stdout).toMatch(/^verify +✗ overridden /m)
    expect(overridden.stdout).toContain('Next: slipway switchover --override verify\n')
  })

  test('guards refuse: all of them with what to do, exit 1', async () => {
    operator.switching = () => Promise.reject(refusedByGuards())
    const { code, stdout, stderr } = await ask('rollback')
    expect(code).toBe(1)
    expect(stdout).toMatch(
      /^quarantine +✗ +2 found +0 +yes\n {4}articles\n {4}dlq\n {4}→ slipway quarantine lists them; /m,
    )
    expect(stdout).toMatch(/^drift +✗ +– +– +no\n {4}→ See slipway status\.$/m)
    expect(stderr).toMatch(/^error: Guards refuse: quarantine, drift\.\nremedy: Do what/m)
    expect(stdout).toContain('Next: slipway quarantine\n')
    const json = await ask('rollback', '--json')
    expect(json.code).toBe(1)
    expect(JSON.parse(json.stdout)).toMatchObject({
      error: { code: 'guards_refuse', remedy: expect.any(String) },
      guards: { length: 5 },
    })
  })

  test('undone in time: which step it was, and that writes go on; exit 1', async () => {
    operator.switching = () => Promise.reject(undone())
    const { code, stdout, stderr } = await run(['switchover'], {
      ...env(),
      npm_lifecycle_event: 'switchover',
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^✗ drain +2,000 ms +too slow\n– settle$/m)
    expect(stderr).toMatch(/^remedy: npm run switchover -- --max-pause 5000$/m)
    expect(stdout).toBe(
      'The switchover was undone, after writes had paused for 2,002 ms: the drain took too long. SQLite takes the writes as before.\nNext: npm run switchover -- --dry-run\n',
    )
    expect(JSON.parse((await ask('switchover', '--json')).stdout)).toMatchObject({
      error: { code: 'undone' },
      run: UNDONE,
    })
  })

  test('while another one runs: refused, and its steps are not ours', async () => {
    operator.switching = () => Promise.reject(running())
    const { code, stdout, stderr } = await ask('switchover')
    expect([code, stdout]).toEqual([1, 'Next: slipway status\n'])
    expect(stderr).toBe(
      'error: A switchover is running.\nremedy: Wait for its end; GET /switchover shows it.\n',
    )
  })

  test('--json: the run alone on stdout', async () => {
    const { code, stdout } = await ask('switchover', '--json')
    expect([code, JSON.parse(stdout)]).toEqual([0, SWITCHED])
  })

  test('steps are told while it goes on; Ctrl-C ends the watching only', async () => {
    const { ends } = goingOn()
    const watching = start(['switchover'], env())
    await watching.says('… wait for lag zero')
    watching.kill('SIGINT')
    const { code, stdout, stderr } = await watching.ended
    expect([code, stdout]).toEqual([130, ''])
    expect(stderr).toContain(
      'a switchover that has begun goes on in the daemon\nNext: slipway status --watch\n',
    )
    expect(operator.switchRun().state).toBe('running')
    ends(SWITCHED)
    await expect.poll(() => operator.switchRun().state).toBe('done')
  })
})

describe('a connection that breaks', () => {
  test('the daemon is asked for the outcome', async () => {
    const { ends } = goingOn()
    await using line = await wire(api.url!)
    const watching = run(['switchover'], { ...env(), CONTROL_URL: line.url })
    await expect.poll(() => operator.switches.length).toBe(1)
    line.cut()
    ends({ ...UNDONE, state: 'undone' })
    const { code, stdout, stderr } = await watching
    expect(code).toBe(1)
    expect(stderr).toContain('the connection to the daemon is lost; asking it for the outcome')
    expect(stdout).toContain('The switchover was undone')
  })

  test('the run of before is not taken for it', async () => {
    operator.run = SWITCHED
    const { promise } = Promise.withResolvers<SwitchRun>()
    operator.switching = () => promise
    await using line = await wire(api.url!)
    const client = await createClient({
      controlUrl: line.url,
      controlToken: TOKEN,
      stateDir: folder(),
      logLevel: 'info',
    })
    const request = {
      passage: 'rollback',
      wait_seconds: 1,
      dry_run: false,
      verify: 'recent',
      override: [],
      force: false,
    } as const
    const shown: SwitchRun[] = []
    const signal = new AbortController().signal
    const watching = follow(client, request, {
      show: (now) => shown.push(now),
      note: () => {},
      signal,
      patienceMs: 300,
    })
    const refused = expect(watching).rejects.toMatchObject({ code: 'not_begun', exit: 1 })
    await expect.poll(() => operator.switches.length).toBe(1)
    line.cut()
    await refused
    expect(shown).toEqual([])
  })

  test('a daemon that does not come back: exit 5', async () => {
    goingOn()
    const line = await wire(api.url!)
    const client = await createClient({
      controlUrl: line.url,
      controlToken: TOKEN,
      stateDir: folder(),
      logLevel: 'info',
    })
    const request = {
      passage: 'switchover',
      wait_seconds: 1,
      dry_run: false,
      verify: 'recent',
      override: [],
      force: false,
    } as const
    const watching = follow(client, request, {
      show: () => {},
      note: () => {},
      signal: new AbortController().signal,
      patienceMs: 300,
    })
    const refused = expect(watching).rejects.toMatchObject({ code: 'daemon_unreachable', exit: 5 })
    await expect.poll(() => operator.switches.length).toBe(1)
    await line[Symbol.asyncDispose]()
    await refused
  })
})

describe('writes, finalize, report', () => {
  test('writes pause and resume', async () => {
    const paused = await ask('writes', 'pause', '--reason', ' disk ', '--for', '7')
    expect(paused.code).toBe(0)
    expect(paused.stdout).toBe(
      'sqlite closed, opens by itself at 2026-01-02T03:09:05.000Z (disk)\nNext: slipway writes resume\n',
    )
    expect((await ask('status')).stdout).toContain('Next: slipway writes resume')
    expect(operator.pausedWrites).toEqual([['disk', 7]])
    const resumed = await ask('writes', 'resume', '--json')
    expect(JSON.parse(resumed.stdout)).toEqual({ authority: 'sqlite', epoch: 1, fences: STATUS.fences })
    await ask('writes', 'pause')
    expect(operator.pausedWrites[1]).toEqual(['asked for on the command line', 300])
  })

  test('finalize with the name of the migration; another name is refused', async () => {
    const wrong = await ask('finalize', '--confirm', 'nes')
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toMatch(/^error: The migration's name is not nes\.$/m)
    const { code, stdout } = await ask('finalize', '--confirm', 'news')
    expect([code, operator.finalized]).toEqual([0, ['news']])
    expect(stdout).toMatch(/^news is finalized: .*\nNext: slipway report --output report\.md$/m)
  })

  test('a person at a terminal is asked for the name, and told what ends', async () => {
    operator.now = { ...STATUS, rollback_safe: { safe: false, reasons: ['a NaN in articles.score'] } }
    const no = await atTerminal(['finalize'], 'yes\n')
    expect(no.code).toBe(1)
    expect(no.stderr).toContain('There is no rollback after it.')
    expect(no.stderr).toContain('a rollback is not safe now: a NaN in articles.score')
    expect(operator.finalized).toEqual([])
    expect((await atTerminal(['finalize'], ' news \n')).code).toBe(0)
    expect(operator.finalized).toEqual(['news'])
  })

  test('the report on stdout, or in a file', async () => {
    const shown = await ask('report')
    expect(shown.stdout).toBe('# news\n\nEqual — after 12,345 rows, hunter22.\n')
    expect(shown.stderr).toContain('Next: slipway status')
    const file = path.join(folder(), 'report.md')
    const written = await ask('report', '--output', file)
    expect(written.stdout).toContain(`The report is in ${file}.\nNext: `)
    expect(readFileSync(file, 'utf8')).toBe(shown.stdout)
    const not = await ask('report', '--output', path.join(file, 'x'))
    expect([not.code, not.stderr.includes('remedy: ')]).toEqual([1, true])
    expect(JSON.parse((await ask('report', '--json')).stdout)).toEqual({ markdown: shown.stdout })
  })
})

describe('recover', () => {
  test('says the risk and does nothing without --accept-loss', async () => {
    const { code, stdout, stderr } = await run(['recover', '--authority', 'sqlite', ...DATABASES])
    expect(code).toBe(1)
    expect(stderr).toMatch(/warning: What PostgreSQL accepted and SQLite does not have is lost/)
    expect(stderr).toMatch(/^error: nothing was changed: the risk was not accepted\nremedy: /m)
    expect(stdout).toBe(
      "Next: slipway recover --authority sqlite --accept-loss ./a.db 'postgres://u:***@h/db'\n",
    )
  })

  test('opens the side that was named, and says what it could not do', async () => {
    const args = ['recover', '--authority', 'postgres', '--accept-loss', ...DATABASES]
    const { code, stdout, stderr } = await run(args)
    expect(code).toBe(0)
    expect(stderr).toContain('warning: What SQLite accepted and PostgreSQL does not have is lost')
    expect(stderr).toContain('warning: PostgreSQL did not answer: it is not closed')
    expect(stdout).toMatch(/^PostgreSQL takes the writes, epoch 3\.\nNext: slipway start \.\/a\.db/m)
    expect(JSON.parse((await run([...args, '--json'])).stdout)).toMatchObject({ epoch: 3 })
    const failed = await run(args, {}, folder(), { fails: 'failure' })
    expect([failed.code, failed.stderr.includes('hunter22')]).toEqual([3, false])
  })
})

describe('status and lag on the way back', () => {
  const back = {
    ...STATUS,
    phase: 'switched_over',
    authority: 'postgres',
    direction: 'reverse',
    epoch: 2,
    authority_since: '2026-01-02T03:05:01.000Z',
    head: '727:733:729,731',
    applied: '727:730:727,729',
    fences: [
      { engine: 'sqlite', closed: true, reasons: ['PostgreSQL leads'], until: null },
      { engine: 'postgres', closed: false, reasons: [], until: null },
    ],
    switchover: { ...SWITCHED, overrides: ['backup'] },
    rollback_safe: { safe: false, reasons: ['a NaN in articles.score'] },
    checklist: [
      { step: 'Copy and replicate', done: true, command: 'slipway start' },
      { step: 'End the way back', done: false, command: 'slipway finalize' },
    ],
  } as const

  test('status tells who leads since when, fences, the last run, whether a rollback is safe, and the checklist', async () => {
    operator.now = back
    const { stdout } = await ask('status')
    expect(stdout).toMatch(
      /^authority +postgres \(epoch 2, since 2026-01-02T03:05:01\.000Z\); changes go back to SQLite$/m,
    )
    expect(stdout).toMatch(/^position +transaction 730 \(2 open\) applied of transaction 733 \(2 open\)$/m)
    expect(stdout).toMatch(/^fence +sqlite closed \(PostgreSQL leads\)\nfence +postgres open$/m)
    expect(stdout).toMatch(
      /^last run +switchover done 2026-01-02T03:05:01\.000Z, paused 38\.4 ms, overridden: backup$/m,
    )
    expect(stdout).toMatch(/^rollback +not safe: a NaN in articles\.score$/m)
    expect(stdout).toMatch(/^✓ +Copy and replicate\n· +End the way back +slipway finalize$/m)
    expect(stdout).toContain('Next: slipway lag --wait\n')
    operator.now = { ...back, caught_up: true }
    expect((await ask('status')).stdout).toContain('Next: slipway finalize\n')
  })

  test('status shows the steps of a run that goes on', async () => {
    operator.now = { ...STATUS, phase: 'switching_over', authority: 'none', switchover: SWITCHING }
    const { stdout } = await ask('status')
    expect(stdout).toMatch(/^last run +switchover running since .*: wait for lag zero \(2 changes left\)$/m)
    expect(stdout).toMatch(/^✓ guards .*\n… wait for lag zero .*\n· SQLite's write lock$/m)
    expect(stdout).toContain('Next: slipway status --watch\n')
    operator.now = { ...STATUS, switchover: UNDONE }
    expect((await ask('status')).stdout).toMatch(
      /^last run +switchover undone .*: the drain took too long\nremedy +slipway switchover --max-pause 5000$/m,
    )
  })

  test.each([
    ['replicating', true, 'switchover --dry-run'],
    ['switched_over', true, 'report'],
    ['finalized', false, 'report'],
  ] as const)('status in phase %s ends with slipway %3$s', async (phase, caughtUp, next) => {
    operator.now = { ...STATUS, phase, caught_up: caughtUp }
    expect((await ask('status')).stdout).toContain(`Next: slipway ${next}\n`)
  })

  test('lag --wait ends beside steady writes, once what there was is in SQLite', async () => {
    operator.now = back
    const waiting = ask('lag', '--wait', '--timeout', '20')
    await new Promise((done) => setTimeout(done, 300))
    operator.now = { ...back, head: '740:741:', applied: '729:735:729,731' }
    const { code, stdout } = await waiting
    expect(code).toBe(0)
    expect(stdout).toContain('caught up with what there was when asked')
    expect(stdout).toContain('Next: slipway status\n')
    operator.now = back
    expect((await ask('lag')).stdout).toContain('(switched over, running, on the way back to SQLite)')
  })
})

/** A line to the server that can be cut, after which it works again. */
async function wire(to: string) {
  const { port } = new URL(to)
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const other = connect(Number(port), '127.0.0.1')
    for (const one of [socket, other]) {
      sockets.add(one)
      one.on('error', () => {}).on('close', () => sockets.delete(one))
    }
    socket.pipe(other).pipe(socket)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    async [Symbol.asyncDispose]() {
      server.close()
      cut()
    },
  }
}

/** As at a terminal, with somebody who types. */
async function atTerminal(args: readonly string[], typed: string): Promise<Ended> {
  const output = { stdout: '', stderr: '' }
  const capture = (name: 'stdout' | 'stderr') =>
    Object.assign(
      new Writable({
        write(chunk, _encoding, done) {
          output[name] += chunk
          done()
        },
      }),
      { isTTY: true },
    ) as unknown as NodeJS.WriteStream
  const stdin = Object.assign(new PassThrough(), { isTTY: true }) as unknown as NodeJS.ReadStream
  const terminal = new Terminal({
    env: { ...env(), NO_COLOR: '1' },
    stdin,
    stdout: capture('stdout'),
    stderr: capture('stderr'),
  })
  const ended = runCli(fixtureWork({}), ['node', 'slipway', ...args], terminal)
  ;(stdin as unknown as PassThrough).write(typed)
  return { code: await ended, ...output }
}
