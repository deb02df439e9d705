/** What docs/applications.md tells applications to do, done. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SqliteFence } from '../src/sqlite/fence.ts'
import { writeAuthority } from '../src/wiring/authority-file.ts'
import { type HookEvent, runHook } from '../src/wiring/hooks.ts'
import { Process, until, Workspace } from './support/daemon.ts'
import { execute } from './support/foreign.ts'

const PAGE = readFileSync(new URL('../docs/applications.md', import.meta.url), 'utf8')

/** Blocks of the page whose fence has this info string. */
function blocks(info: string): string[] {
  const found = PAGE.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)
  return [...found].filter((match) => match[1] === info).map((match) => match[2] as string)
}

describe('the Python program of the page', () => {
  const [program = ''] = blocks('python run')

  /** The application's file with what capture leaves in it, and the fence. */
  async function place() {
    const workspace = new Workspace()
    const path = workspace.file('app.db')
    await execute(path, [
      'PRAGMA journal_mode = WAL',
      'CREATE TABLE articles (id INTEGER PRIMARY KEY, link TEXT UNIQUE)',
      'CREATE TABLE _slipway_control (name TEXT PRIMARY KEY, value TEXT)',
    ])
    const authorityFile = workspace.file('authority.json')
    const outbox = workspace.file('outbox')
    writeFileSync(workspace.file('bot.py'), program)
    const settings = { authorityFile, sqlitePath: path, appSqliteUrl: undefined, appPostgresUrl: undefined }
    const tell = async (authority: 'sqlite' | 'postgres' | 'none', epoch: number): Promise<void> => {
      const since = new Date().toISOString()
      await writeAuthority(settings, { authority, epoch, phase: 'replicating', since })
    }
    await tell('sqlite', 1)
    const start = (links: readonly string[]): Process => {
      const python = new Process('python3', [workspace.file('bot.py')], {
        env: { PATH: process.env.PATH, DATABASE: path, AUTHORITY_FILE: authorityFile, OUTBOX: outbox },
      })
      python.child.stdin?.end(links.join('\n'))
      return python
    }
    return {
      path,
      fence: new SqliteFence({ path, tables: () => ['articles'] }),
      tell,
      start,
      run: async (links: readonly string[]) => (await start(links).end(60_000)).code,
      kept: () => (existsSync(outbox) ? readFileSync(outbox, 'utf8').trim().split('\n') : []),
      links: async () =>
        (await execute(path, ['SELECT link FROM articles ORDER BY id']))[0]?.rows.map(([link]) => link),
      [Symbol.dispose]: () => workspace[Symbol.dispose](),
    }
  }

  const signal = new AbortController().signal
  const raise = async (fence: SqliteFence): Promise<void> => {
    using lock = await fence.lock(5_000, signal)
    lock.raise({ epoch: 2, attempt: 1 })
    await lock.commit()
  }
  const UNDECIDED = { authority: 'none', epoch: 2, attempt: 1 } as const

  test('stores, and knows what it has', async () => {
    using at = await place()
    expect(await at.run(['a', 'b', 'a'])).toBe(0)
    expect(await at.links()).toEqual(['a', 'b'])
  })

  test('waits for the end of a pause in its busy timeout', async () => {
    using at = await place()
    using fence = at.fence
    const lock = await fence.lock(5_000, signal)
    const python = at.start(['a'])
    await until(() => at.kept().includes('a'), { ms: 10_000, describe: () => 'it did not begin' })
    lock[Symbol.dispose]()
    expect((await python.end(60_000)).code).toBe(0)
    expect(await at.links()).toEqual(['a'])
  })

  test('waits while it is undecided; undone, it goes on', async () => {
    using at = await place()
    using fence = at.fence
    await raise(fence)
    const python = at.start(['a', 'b'])
    await until(() => at.kept().includes('a'), { ms: 10_000, describe: () => 'it did not begin' })
    await at.tell('none', 2)
    expect(python.alive).toBe(true)
    {
      using lock = await fence.lock(5_000, signal)
      lock.lower({ from: UNDECIDED, epoch: 1, attempt: 2 })
      await lock.commit()
    }
    expect((await python.end(60_000)).code).toBe(0)
    expect(await at.links()).toEqual(['a', 'b'])
  })

  test('keeps what it may not store once PostgreSQL leads, and stores it after a rollback', async () => {
    using at = await place()
    using fence = at.fence
    expect(await at.run(['before'])).toBe(0)
    await raise(fence)
    const python = at.start(['before', 'new', 'newer'])
    await until(() => at.kept().includes('newer'), { ms: 10_000, describe: () => 'it did not begin' })
    {
      using lock = await fence.lock(5_000, signal)
      lock.lead({ from: UNDECIDED, epoch: 2, attempt: 1, position: { snapshot: '7:7:', token: 't' } })
      await lock.commit()
    }
    await at.tell('postgres', 2)
    expect((await python.end(60_000)).code).toBe(75)
    // The fence came even for the link that it has already: it could not be told from a new one.
    expect(at.kept()).toEqual(['before', 'new', 'newer'])
    expect(await at.links()).toEqual(['before'])
    expect(await at.run(['later'])).toBe(75)
    expect(at.kept()).toEqual(['before', 'new', 'newer', 'later'])
    {
      using lock = await fence.lock(5_000, signal)
      lock.lower({ from: { ...UNDECIDED, authority: 'postgres' }, epoch: 3, attempt: 2 })
      await lock.commit()
    }
    await at.tell('sqlite', 3)
    expect(await at.run([])).toBe(0)
    expect(await at.links()).toEqual(['before', 'new', 'newer', 'later'])
    expect(at.kept()).toEqual([''])
  })

  test('does not take another error for the fence', async () => {
    using at = await place()
    await execute(at.path, ['DROP TABLE articles'])
    const result = await at.start(['a']).end(60_000)
    expect(result.code).toBe(1)
    expect(result.stderr).toContain('no such table')
    expect(at.kept()).toEqual(['a'])
  })
})

describe('the hooks of the page', () => {
  const [telegram = '', slack = '', restart = ''] = blocks('sh hook')

  async function hook(command: string, event: HookEvent, code = 0) {
    using workspace = new Workspace()
    const bin = workspace.file('bin')
    const calls = workspace.file('calls')
    mkdirSync(bin)
    for (const name of ['curl', 'systemctl']) {
      const path = join(bin, name)
      writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' "$@" >> '${calls}'\nexit ${code}\n`)
      chmodSync(path, 0o755)
    }
    const result = await runHook(
      {
        hookCommand: `PATH='${bin}':$PATH; TELEGRAM_TOKEN=t0k TELEGRAM_CHAT=7 SLACK_WEBHOOK=https://s; ${command}`,
        hookTimeoutMs: 20_000,
        postgresUrl: '',
        controlToken: undefined,
        appSqliteUrl: undefined,
        appPostgresUrl: undefined,
      },
      event,
      { phase: 'replicating', authority: 'postgres', epoch: 2 },
      new AbortController().signal,
    )
    return { ok: result?.ok, said: existsSync(calls) ? readFileSync(calls, 'utf8') : '' }
  }

  test('Telegram', async () => {
    const { ok, said } = await hook(telegram, 'phase')
    expect(ok).toBe(true)
    expect(said).toContain('https://api.telegram.org/bott0k/sendMessage')
    expect(said).toContain('text=slipway: phase, phase replicating, postgres leads (epoch 2)')
    expect((await hook(telegram, 'before_switchover', 7)).ok).toBe(true)
  })

  test('Slack', async () => {
    const { ok, said } = await hook(slack, 'after_switchover', 7)
    expect(ok).toBe(true)
    const body = said.split('\n').find((line) => line.startsWith('{'))
    expect(JSON.parse(body ?? '')).toEqual({ text: 'slipway: postgres leads since epoch 2' })
    expect(await hook(slack, 'before_switchover', 7)).toEqual({ ok: true, said: '' })
  })

  test('a restart, and a refusal', async () => {
    expect((await hook(restart, 'before_switchover', 3)).ok).toBe(true)
    expect((await hook(restart, 'before_switchover', 0)).ok).toBe(false)
    expect((await hook(restart, 'after_rollback', 0)).said).toContain('restart\n--no-block\nnews-bot.service')
    expect(await hook(restart, 'phase', 0)).toEqual({ ok: true, said: '' })
  })
})

test('the other programs of the page are written as their languages want them', async () => {
  using workspace = new Workspace()
  const check = async (command: string, args: readonly string[], text: string): Promise<void> => {
    writeFileSync(workspace.file('check.mjs'), text)
    const result = await new Process(command, [...args, workspace.file('check.mjs')]).end(30_000)
    expect(result, text).toMatchObject({ code: 0 })
  }
  const python = blocks('python')
  const others = [...blocks('js'), ...blocks('sh')]
  expect([python.length, others.length]).toEqual([2, 2])
  for (const text of python) await check('python3', ['-m', 'py_compile'], text)
  for (const text of blocks('js')) await check(process.execPath, ['--check'], text)
  for (const text of blocks('sh')) await check('bash', ['-n'], text)
})
