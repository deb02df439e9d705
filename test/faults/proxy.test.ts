/** The proxy against a real server: each strike on COMMIT does what it says. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { until } from '../support/daemon.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { Frontend } from './frontend.ts'
import { PostgresProxy } from './proxy.ts'

let database: TestDatabase
let direct: pg.Client
let proxy: PostgresProxy

beforeAll(async () => {
  database = await createDatabase()
  direct = await database.connect()
  await direct.query('CREATE TABLE t (v int)')
  proxy = await PostgresProxy.open(Number(new URL(database.url).port))
})
afterAll(async () => {
  await proxy.close()
  await database.drop()
})
beforeEach(async () => {
  proxy.heal()
  await direct.query('TRUNCATE t')
})

async function client(): Promise<pg.Client> {
  const one = new pg.Client({ connectionString: proxy.url(database.url) })
  one.on('error', () => {})
  await one.connect()
  return one
}

async function insert(one: pg.Client, v: number): Promise<void> {
  await one.query('BEGIN')
  await one.query('INSERT INTO t VALUES ($1)', [v])
  await one.query('COMMIT')
}

const rows = async (): Promise<number> => (await direct.query('SELECT FROM t')).rowCount ?? 0
const open = async (): Promise<number> => {
  const { rowCount } = await direct.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()`,
  )
  return rowCount ?? 0
}

test('everything passes, a COPY and a large statement too', async () => {
  const one = await client()
  await insert(one, 1)
  const text = 'ё'.repeat(200_000)
  const { rows: back } = await one.query('SELECT $1::text AS text', [text])
  expect(back[0].text).toBe(text)
  const { rows: literal } = await one.query(`SELECT length('${text}') AS n`)
  expect(literal[0].n).toBe(200_000)
  expect(await rows()).toBe(1)
  await one.end()
})

test('answer_lost: committed, and the client does not know', async () => {
  const one = await client()
  proxy.arm('answer_lost', { times: 1 })
  await expect(insert(one, 1)).rejects.toThrow(/terminated|ECONNRESET/)
  await until(async () => (await rows()) === 1, { ms: 5000, describe: () => 'not committed' })
  // Only that one.
  await insert(await client(), 2)
  expect(await rows()).toBe(2)
})

test('never_sent: the transaction is gone', async () => {
  const one = await client()
  proxy.arm('never_sent', { times: 1 })
  await expect(insert(one, 1)).rejects.toThrow(/terminated|ECONNRESET/)
  await until(async () => (await open()) === 0, { ms: 5000, describe: () => 'a transaction is left' })
  expect(await rows()).toBe(0)
})

test('late: it lands when the client has given up', async () => {
  const one = await client()
  proxy.arm('late', { times: 1, holdMs: 700 })
  await expect(insert(one, 1)).rejects.toThrow(/terminated|ECONNRESET/)
  expect(await rows()).toBe(0)
  expect(await open()).toBe(1)
  await until(async () => (await rows()) === 1, { ms: 5000, describe: () => 'it never landed' })
})

test('slow: later, and answered; only where the transaction matches', async () => {
  const one = await client()
  proxy.arm('slow', { times: 1, holdMs: 600, match: /VALUES \(7\)/ })
  const began = performance.now()
  await insert(one, 1)
  const quick = performance.now() - began
  await one.query('BEGIN')
  await one.query('INSERT INTO t VALUES (7)')
  const held = performance.now()
  await one.query('COMMIT')
  expect(performance.now() - held).toBeGreaterThan(590)
  expect(quick).toBeLessThan(590)
  expect(await rows()).toBe(2)
  await one.end()
})

test('a black hole: nothing passes, also not that the client has closed; then everything does', async () => {
  const one = await client()
  await one.query('BEGIN')
  await one.query('INSERT INTO t VALUES (1)')
  proxy.blackhole()
  const lost = one.query('COMMIT').catch((error: Error) => error)
  await sleep(100)
  ;(one as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  expect(await lost).toBeInstanceOf(Error)
  await sleep(300)
  expect(await open()).toBe(1)
  expect(await rows()).toBe(0)
  proxy.heal()
  await until(async () => (await rows()) === 1, { ms: 5000, describe: () => 'it never landed' })
})

test('a cut reaches every connection', async () => {
  const [one, other] = [await client(), await client()]
  proxy.cut()
  await expect(one.query('SELECT 1')).rejects.toThrow()
  await expect(other.query('SELECT 1')).rejects.toThrow()
  await until(() => proxy.connections === 0, { ms: 5000, describe: () => 'a link is left' })
})

test('messages are found wherever the bytes are cut', () => {
  const startup = Buffer.alloc(9)
  startup.writeInt32BE(9, 0)
  startup.writeInt32BE(3 << 16, 4)
  const query = (text: string): Buffer => {
    const body = Buffer.from(`${text}\0`)
    const head = Buffer.alloc(5)
    head.write('Q')
    head.writeInt32BE(4 + body.length, 1)
    return Buffer.concat([head, body])
  }
  const data = Buffer.concat([Buffer.from('d'), Buffer.from([0, 1, 0, 4]), Buffer.alloc(65_536, 7)])
  const all = Buffer.concat([startup, query('BEGIN'), data, query('COMMIT')])
  for (const size of [1, 2, 3, 7, 100, all.length]) {
    const frontend = new Frontend()
    const pieces = []
    for (let at = 0; at < all.length; at += size) pieces.push(...frontend.push(all.subarray(at, at + size)))
    expect(Buffer.concat(pieces.map((one) => one.bytes)).equals(all)).toBe(true)
    expect(pieces.flatMap((one) => one.text ?? [])).toEqual(['BEGIN', 'COMMIT'])
  }
})
