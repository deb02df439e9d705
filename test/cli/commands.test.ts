import { describe, expect, test } from 'vitest'
import type { Fixture } from './fixture-work.ts'
import { folder, run, start } from './run.ts'

const URL = 'postgres://u:hunter22@h/db'
const DATABASES = ['./a.db', URL]
const fixture = (what: Fixture) => ({ FIXTURE: JSON.stringify(what) })

describe('usage', () => {
  test.each([
    [['snapsht'], 'Did you mean snapshot?'],
    [['lag', '--wiat'], 'Did you mean --wait?'],
    [['replication', 'paus'], 'Did you mean pause?'],
    [['start', 'a', 'b', 'c'], 'too many arguments'],
    [['lag', '--timeout'], 'argument missing'],
    [['lag', '--timeout', '5s'], '--timeout'],
    [['quarantine', '--limit', '0'], '--limit'],
    [['quarantine', 'retyr'], 'quarantine'],
    [['verify', '--table'], 'argument missing'],
    [['verify', 'articles'], 'too many arguments'],
    [['switchover', '--wait', '5s'], '--wait'],
    [['switchover', '--max-pause', '1.5'], '--max-pause'],
    [['switchover', '--verify', 'often'], 'recent, full, none'],
    [['switchover', '--force'], '--force'],
    [['rollback', '--override'], 'argument missing'],
    [['finalize'], 'finalize --confirm NAME'],
    [['writes', 'pause', '--for', '0'], '--for'],
    [['recover', '--accept-loss'], '--authority'],
    [['recover', '--authority', 'mysql'], 'sqlite, postgres'],
    [[], 'Usage: slipway'],
  ])('%j: exit 2', async (args, text) => {
    const { code, stderr, stdout } = await run(args)
    expect(code).toBe(2)
    expect(stderr).toContain(text)
    expect(stderr).not.toMatch(/^ +at /m)
    expect(stdout).toBe('')
  })

  test.each([
    'demo',
    'assess',
    'snapshot',
    'start',
    'status',
    'lag',
    'verify',
    'quarantine',
    'quarantine retry',
    'uninstall',
    'replication',
    'replay',
    'replication pause',
    'writes pause',
    'writes resume',
    'switchover',
    'rollback',
    'finalize',
    'report',
    'recover',
  ])('%s --help has examples', async (command) => {
    const { code, stdout } = await run([...command.split(' '), '--help'])
    expect(code).toBe(0)
    expect(stdout).toContain(`$ slipway ${command}`)
  })

  test('help lists the commands, and names settings', async () => {
    expect((await run(['--help'])).stdout).toMatch(/snapshot.*\n.*start.*\n.*status/)
    expect((await run(['start', '--help'])).stdout).toContain('CONTROL_PORT')
    expect((await run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

describe('errors', () => {
  test('all that is wrong with the configuration, exit 2', async () => {
    const { code, stderr } = await run(['start'], { CONTROL_PORT: '12abc' })
    expect(code).toBe(2)
    for (const name of ['SQLITE_PATH', 'POSTGRES_URL', 'CONTROL_PORT']) expect(stderr).toContain(`${name}: `)
    expect(stderr).toMatch(/^remedy: /m)
  })

  test('a failure: one line, a remedy, its exit code, no stack, no secret', async () => {
    const { code, stderr, stdout } = await run(['snapshot', ...DATABASES], {}, folder(), { fails: 'failure' })
    expect(code).toBe(3)
    expect(stderr).toBe('error: server at postgres://u:***@h/db refuses\nremedy: Ask it nicely.\n')
    expect(stdout).toBe('')
  })

  test('with --json it is JSON as well; with LOG_LEVEL=debug it has its stack', async () => {
    const env = { LOG_LEVEL: 'debug' }
    const { stderr, stdout } = await run(['snapshot', '--json', ...DATABASES], env, folder(), {
      fails: 'failure',
    })
    expect(JSON.parse(stdout)).toMatchObject({
      error: { code: 'refused_by_server', remedy: 'Ask it nicely.' },
    })
    expect(stderr).toMatch(/^ +at /m)
    expect(stdout + stderr).not.toContain('hunter22')
  })

  test('a defect says so, with its stack', async () => {
    const { code, stderr } = await run(['snapshot', ...DATABASES], {}, folder(), { fails: 'defect' })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: slipway met a defect: undefined is not a function$/m)
    expect(stderr).toMatch(/^ +at /m)
  })

  test('a name that nothing reads is a warning', async () => {
    const { code, stderr } = await run(['snapshot', ...DATABASES], { SLIPWAY_CHUNK_ROW: '1' })
    expect(code).toBe(0)
    expect(stderr).toContain(
      'warning: SLIPWAY_CHUNK_ROW is unknown and ignored; did you mean SLIPWAY_CHUNK_ROWS?',
    )
  })
})

describe('assess', () => {
  test('tables and findings by table, the sentence last, and what comes next; exit 3', async () => {
    const { code, stdout } = await run(['assess', ...DATABASES])
    expect(code).toBe(3)
    expect(stdout).toContain('/srv/news.db: 2.0 MB, journal mode wal, UTF-8, last written by SQLite 3.40.1')
    expect(stdout).toContain(
      'articles\n  blocks  body: 2 texts have a NUL character (id=7; id=9) [text_nul]\n          → Decide in the plan.',
    )
    expect(stdout).toContain('in general\n  warns   a view stays behind [no_view]')
    expect(stdout).toContain('good to know\n  articles: it is STRICT [strict_table]')
    expect(stdout.trimEnd().split('\n').slice(-2)).toEqual([
      'Moves in about 3 s; 1 column needs a decision.',
      "Next: slipway assess --write-plan ./a.db 'postgres://u:***@h/db'",
    ])
  })

  test('--json answers with one document; --write-plan says where the plan is', async () => {
    const json = await run(['assess', '--json', ...DATABASES])
    expect(json.code).toBe(3)
    expect(JSON.parse(json.stdout)).toMatchObject({ summary: { blocks: 1 }, target: null, plan: null })
    const cwd = folder()
    const { stdout } = await run(['assess', '--write-plan', ...DATABASES], {}, cwd)
    expect(stdout).toContain(`The plan is in ${cwd}/slipway.plan.json`)
    expect(stdout).toMatch(/Next: slipway assess \.\/a\.db/)
  })
})

describe('snapshot', () => {
  test('says what it did and what comes next, and logs to stderr', async () => {
    const { code, stdout, stderr } = await start(['snapshot', ...DATABASES]).ended
    expect(code).toBe(0)
    expect(stdout).toContain('Copied 1 table, 12,345 rows in 1.50 s.')
    expect(stdout).toMatch(/Next: slipway start \.\/a\.db 'postgres:\/\/u:\*\*\*@h\/db'\n$/)
    const lines = stderr.trim().split('\n')
    for (const line of lines) expect(JSON.parse(line)).toHaveProperty('level')
    expect(stderr).toContain('dlq: 200 rows copied')
  })

  test('through npm the next command is one of npm', async () => {
    const { stdout } = await run(['snapshot', ...DATABASES], { npm_lifecycle_event: 'snapshot' })
    expect(stdout).toContain('Next: npm run start -- ./a.db')
  })

  test('again: harmless, and says so', async () => {
    const { code, stdout } = await run(['snapshot', ...DATABASES], {}, folder(), { already: true })
    expect(code).toBe(0)
    expect(stdout).toContain('complete already')
  })

  test('--json answers with one document; the rest goes beside it', async () => {
    const { stdout, stderr } = await run(['snapshot', '--json', '--enable-wal', ...DATABASES])
    expect(JSON.parse(stdout)).toMatchObject({ rows: 12_345, s0: 7, warnings: ['switched to WAL'] })
    expect(stderr).toContain('Next: slipway start')
  })

  test('nobody is asked where nobody is', async () => {
    const { code, stdout } = await run(['snapshot', ...DATABASES], {}, folder(), { journalMode: 'delete' })
    expect([code, stdout.includes('switched')]).toEqual([0, false])
  })

  test('--sql answers with SQL and nothing else', async () => {
    const { code, stdout, stderr } = await run(['snapshot', '--sql', ...DATABASES])
    expect(code).toBe(0)
    expect(stdout).toBe("BEGIN;\n-- it's all there\nCOMMIT;\n")
    expect(stderr).toContain('Next: slipway snapshot --dry-run')
  })

  test('--dry-run tells what took how long, what will be different, and what comes next', async () => {
    const { code, stdout, stderr } = await run(['snapshot', '--dry-run', ...DATABASES])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^table +target +rows +set aside$/m)
    expect(stdout).toMatch(/^comparison of every value +2 s$/m)
    expect(stdout).toContain('Rehearsed 1 table, 12,345 rows in 3.50 s')
    expect(stdout).toMatch(/Next: slipway snapshot \.\/a\.db 'postgres:\/\/u:\*\*\*@h\/db'\n$/)
    expect(stderr).toContain('warning: a CHECK is not carried over')
    expect(stdout + stderr).not.toContain('not worth a line')
    const json = await run(['snapshot', '--dry-run', '--json', ...DATABASES])
    expect(JSON.parse(json.stdout)).toMatchObject({
      rows: 12_345,
      findings: [{ code: 'check_left_out' }, {}],
    })
  })

  test('--dry-run that is interrupted ends with 130', async () => {
    const running = start(['snapshot', '--dry-run', ...DATABASES], fixture({ endless: true }))
    await running.says('copying the file')
    running.kill('SIGINT')
    const { code, stderr } = await running.ended
    expect([code, stderr.includes('nothing of the rehearsal is left')]).toEqual([130, true])
  })

  test.each([
    ['--sql', '--once'],
    ['--sql', '--dry-run'],
    ['--sql', '--json'],
    ['--once', '--dry-run'],
  ])('%s and %s are two wishes', async (one, other) => {
    const { code, stderr } = await run(['snapshot', one, other, ...DATABASES])
    expect(code).toBe(2)
    expect(stderr).toContain(one)
  })

  test.each(['SIGINT', 'SIGTERM'] as const)('%s: interrupted, exit 130, and how to go on', async (signal) => {
    const running = start(['snapshot', ...DATABASES], fixture({ endless: true }))
    await running.says('copying')
    running.kill(signal)
    const { code, stderr } = await running.ended
    expect(code).toBe(130)
    expect(stderr).toContain('Next: slipway snapshot')
  })

  test('the Ctrl-C that npm repeats is one; a later one forces', async () => {
    const running = start(['snapshot', ...DATABASES], fixture({ endless: true, deaf: true }))
    await running.says('copying')
    running.kill('SIGINT')
    await running.says('SIGINT')
    running.kill('SIGINT')
    await new Promise((done) => setTimeout(done, 1100))
    running.kill('SIGINT')
    expect((await running.ended).code).toBe(130)
  })

  test('a reader of stdout that went away is no error', async () => {
    const running = start(['snapshot', ...DATABASES])
    running.close()
    const { code, stderr } = await running.ended
    expect(code).toBe(0)
    expect(stderr).not.toContain('EPIPE')
  })
})

describe('uninstall and demo', () => {
  test('uninstall says what it took away', async () => {
    const { code, stdout } = await run(['uninstall', '--yes', ...DATABASES])
    expect(code).toBe(0)
    expect(stdout).toContain('table _slipway_changelog')
    expect(stdout).toContain('Next: ')
  })

  test('demo needs no configuration', async () => {
    const { code, stdout } = await run(['demo'], {}, folder())
    expect(code).toBe(0)
    expect(stdout).toMatch(/^equal\nNext: slipway snapshot/)
  })
})
