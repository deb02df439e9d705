import { stat } from 'node:fs/promises'
import { describe, expect, inject, it } from 'vitest'
import { createDatabase, startOwnServer } from './postgres.ts'

describe('databases for tests', () => {
  it('are empty, apart from each other, and gone after drop', async () => {
    const one = await createDatabase()
    await using two = await createDatabase()
    await (await one.connect()).query('CREATE TABLE t (n int)')
    const seen = await (await two.connect()).query("SELECT to_regclass('t') AS t")
    expect(seen.rows).toEqual([{ t: null }])
    await one.drop()
    const left = await (await two.connect()).query('SELECT FROM pg_database WHERE datname = $1', [one.name])
    expect(left.rowCount).toBe(0)
  })

  it('come with ordinary roles', async () => {
    await using database = await createDatabase()
    const role = await database.createRole()
    const admin = await database.connect()
    const { rows } = await admin.query('SELECT rolsuper, rolcanlogin FROM pg_roles WHERE rolname = $1', [
      role.name,
    ])
    expect(rows).toEqual([{ rolsuper: false, rolcanlogin: true }])
    expect(new URL(role.url).pathname).toBe(new URL(database.url).pathname)
    expect(role.url).not.toBe(inject('postgresUrl'))
  })
})

describe('a server of a test', () => {
  it('is stopped, put back to an older copy of its data, and started at the same address', async () => {
    const server = await startOwnServer()
    try {
      const before = await server.connect()
      await before.query('CREATE TABLE t AS SELECT 1 AS n')
      await server.stop('fast')
      expect(await server.pid()).toBeUndefined()
      const copy = await server.saveData()

      await server.start()
      await (await server.connect()).query('INSERT INTO t VALUES (2)')
      await server.stop('immediate')
      await server.restoreData(copy)
      await server.start()
      const after = await server.connect()
      expect((await after.query('SELECT n FROM t')).rows).toEqual([{ n: 1 }])
    } finally {
      await server.destroy()
    }
    await expect(stat(server.dataDir)).rejects.toThrow(/ENOENT/)
  })
})
