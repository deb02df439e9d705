import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type EmbeddedServer, openEmbedded } from '../../src/postgres/embedded.ts'
import { fallbackHome } from '../../src/postgres/embedded-place.ts'
import { serverDirectory } from '../support/postgres-server.ts'

const asRoot = process.getuid?.() === 0

let dir: string
let servers: EmbeddedServer[]
let log: string[]

const openIn = async (folder: string, database = 'trial') => {
  const server = await openEmbedded({ dir: folder, database, onLog: (line) => log.push(line) })
  servers.push(server)
  return server
}
const pidOf = async (server: EmbeddedServer) =>
  Number((await readFile(join(server.dataDir, 'postmaster.pid'), 'utf8')).split('\n')[0])

async function ask(url: string, sql: string): Promise<string> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query({ text: sql, rowMode: 'array' })
    return String(rows[0]?.[0])
  } finally {
    await client.end()
  }
}

beforeEach(async () => {
  dir = await serverDirectory()
  servers = []
  log = []
})

afterEach(async () => {
  for (const server of servers) await server.stop('immediate')
  await rm(fallbackHome(dir), { recursive: true, force: true })
  await rm(dir, { recursive: true, force: true })
})

describe('the embedded server', () => {
  it('keeps data and address from one run to the next', async () => {
    const first = await openIn(dir)
    await ask(first.url, 'CREATE TABLE t AS SELECT 41 AS n')
    await first.stop()
    const second = await openIn(dir)
    expect(second.startedHere).toBe(true)
    expect(second.url).toBe(first.url)
    expect(await ask(second.url, 'SELECT n FROM t')).toBe('41')
    expect(await ask(second.url, 'SHOW fsync')).toBe('on')
    expect(await ask(second.url, 'SHOW server_encoding')).toBe('UTF8')
  })

  it('listens on the loopback alone and asks for its password', async () => {
    const server = await openIn(dir)
    expect(await ask(server.url, 'SHOW listen_addresses')).toBe('127.0.0.1')
    expect(await ask(server.url, 'SHOW unix_socket_directories')).toBe('')
    const wrong = new URL(server.url)
    wrong.password = 'wrong'
    await expect(ask(wrong.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/)
    expect((await stat(join(dir, 'password'))).mode & 0o777).toBe(0o600)
    expect(log.join('\n')).not.toContain(new URL(server.url).password)
  })

  it('finds a running server, makes another database there, and leaves it running', async () => {
    const first = await openIn(dir)
    const second = await openIn(dir, 'änother "one"')
    expect(second.startedHere).toBe(false)
    await second.stop()
    expect(await ask(second.url, 'SELECT current_database()')).toBe('änother "one"')
    expect(await ask(first.url, 'SELECT current_database()')).toBe('trial')
  })

  it('outlives the process that started it', async () => {
    const program = `
      import { openEmbedded } from ${JSON.stringify(new URL('../../src/postgres/embedded.ts', import.meta.url).href)}
      await openEmbedded({ dir: ${JSON.stringify(dir)}, database: 'trial', onLog() {} })
      process.kill(process.pid, 'SIGKILL')`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' })
    await once(child, 'exit')
    const found = await openIn(dir)
    expect(found.startedHere).toBe(false)
    process.kill(await pidOf(found), 'SIGQUIT')
  })

  it('starts again at once after kill -9 and recovers what was committed', async () => {
    const first = await openIn(dir)
    await ask(first.url, 'CREATE TABLE t AS SELECT 41 AS n')
    process.kill(await pidOf(first), 'SIGKILL')
    const second = await openIn(dir)
    expect(second.startedHere).toBe(true)
    expect(await ask(second.url, 'SELECT n FROM t')).toBe('41')
  })

  it('starts though the number of its killed process now belongs to another one', async () => {
    const first = await openIn(dir)
    const pid = await pidOf(first)
    const file = join(first.dataDir, 'postmaster.pid')
    const left = await readFile(file, 'utf8')
    await first.stop()
    const other: ChildProcess = spawn('sleep', ['60'])
    try {
      await writeFile(file, left.replace(`${pid}`, `${other.pid}`))
      const second = await openIn(dir)
      expect(second.startedHere).toBe(true)
      expect(log.join('\n')).toContain('left over')
    } finally {
      other.kill('SIGKILL')
    }
  })

  it('moves to another port when its own is taken, and says so', async () => {
    const first = await openIn(dir)
    await first.stop()
    const thief = createServer().listen(first.port, '127.0.0.1')
    await once(thief, 'listening')
    try {
      const second = await openIn(dir)
      expect(second.port).not.toBe(first.port)
      expect(await ask(second.url, 'SELECT 1')).toBe('1')
      expect(log.join('\n')).toContain(`port ${first.port} is taken`)
    } finally {
      thief.close()
    }
  })

  it('is one server for processes that open it at the same time', async () => {
    const opened = await Promise.all([1, 2, 3].map(() => openIn(dir)))
    expect(new Set(opened.map(({ url }) => url)).size).toBe(1)
    expect(opened.filter(({ startedHere }) => startedHere)).toHaveLength(1)
  })

  it('clears away an initdb that was killed', async () => {
    const child = spawn('true')
    await once(child, 'exit')
    const left = join(dir, `initdb-${child.pid}-00000000`)
    await mkdir(left)
    await openIn(dir)
    await expect(stat(left)).rejects.toThrow(/ENOENT/)
  })

  it('refuses data of another major version, with a remedy', async () => {
    await mkdir(join(dir, 'data'))
    await writeFile(join(dir, 'data', 'PG_VERSION'), '9.6\n')
    await expect(openIn(dir)).rejects.toMatchObject({
      name: 'Failure',
      code: 'embedded_version',
      remedy: expect.stringContaining('POSTGRES_URL'),
    })
  })

  it('names the folder when it cannot be written to', async () => {
    const file = join(dir, 'file')
    await writeFile(file, '')
    await expect(openIn(join(file, 'postgres'))).rejects.toMatchObject({
      code: 'embedded_directory',
      message: expect.stringContaining(file),
    })
  })

  it.runIf(asRoot)('runs as root, under another account', async () => {
    const server = await openIn(dir)
    expect((await stat(server.dataDir)).uid).not.toBe(0)
  })

  it.runIf(asRoot)(
    'puts the data elsewhere when its account cannot enter the folder, and says where',
    async () => {
      await chmod(dir, 0o700)
      const first = await openIn(dir)
      expect(first.dataDir).toBe(join(fallbackHome(dir), 'data'))
      expect(log.join('\n')).toContain(fallbackHome(dir))
      await first.stop()
      expect((await openIn(dir)).url).toBe(first.url)
    },
  )

  it.runIf(asRoot)('never begins a second cluster while the first is out of reach', async () => {
    const first = await openIn(dir)
    await first.stop()
    await chmod(dir, 0o700)
    await expect(openIn(dir)).rejects.toMatchObject({ code: 'embedded_no_home' })
    await chmod(dir, 0o755)
    expect((await openIn(dir)).dataDir).toBe(first.dataDir)
  })

  it('leaves nothing of the environment in the server process but what it needs', async () => {
    const program = `
      import { openEmbedded } from ${JSON.stringify(new URL('../../src/postgres/embedded.ts', import.meta.url).href)}
      const server = await openEmbedded({ dir: ${JSON.stringify(dir)}, database: 'trial', onLog() {} })
      console.log(server.port)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      env: { PATH: process.env.PATH, PGPORT: '1', PGDATA: '/nowhere', CONTROL_TOKEN: 'secret-7' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [printed] = await Promise.all([text(child.stdout), once(child, 'exit')])
    const server = await openIn(dir)
    const pid = await pidOf(server)
    expect(Number(printed)).toBe(server.port)
    expect(await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).not.toContain('secret-7')
    process.kill(pid, 'SIGQUIT')
    await sleep(100)
  })
})
