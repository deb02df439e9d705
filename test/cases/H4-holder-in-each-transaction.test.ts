import { expect, test } from 'vitest'
import { Connection } from '../../src/postgres/connection.ts'
import { Control, sessionName } from '../../src/postgres/control.ts'
import { migrateOwnSchema } from '../../src/postgres/migrate.ts'
import { createDatabase } from '../support/postgres.ts'

// The advisory lock protects no transaction: whoever has been replaced must find out in the transaction itself,
// also where its sessions still live.

test('one that was replaced is let into no transaction, whatever sessions it still has', async () => {
  await using database = await createDatabase()
  const connections: Connection[] = []
  const connect = (name: string): Connection => {
    const connection = new Connection(database.url, name)
    connections.push(connection)
    return connection
  }
  try {
    const first = new Control(connect('first control'), 'app', 'first')
    const work = connect('first works on, under a name that nobody ends')
    await migrateOwnSchema(connect('setup'), database.url)
    await first.create('/app.db', 'public')
    expect(await first.acquire(connect(sessionName('first', 'lock')))).toEqual({ held: true })
    await work.transaction((client) => first.admit(client, 'update'))

    // While the first is heard of, the second waits.
    const second = new Control(connect('second control'), 'app', 'second')
    const lock = connect(sessionName('second', 'lock'))
    const waits = await second.acquire(lock)
    expect(waits).toMatchObject({ held: false, by: 'first' })

    // Frozen for long, by all that can be seen.
    const admin = await database.connect()
    await admin.query(`UPDATE slipway.holder SET seen_at = seen_at - interval '1 hour'`)
    expect(await second.acquire(lock)).toEqual({ held: true })
    for (const strength of ['update', 'share'] as const) {
      await expect(work.transaction((client) => first.admit(client, strength))).rejects.toMatchObject({
        code: 'displaced',
      })
      await connect('second works').transaction((client) => second.admit(client, strength))
    }

    // A higher epoch ends the term of the holder as well.
    await admin.query('UPDATE slipway.control SET epoch = epoch + 1')
    await expect(
      connect('late').transaction((client) => second.admit(client, 'update')),
    ).rejects.toMatchObject({
      code: 'displaced',
    })
  } finally {
    await Promise.all(connections.map((connection) => connection.close()))
  }
})

test('one that was let in cannot be replaced before its transaction ends', async () => {
  await using database = await createDatabase()
  const [setup, work] = [new Connection(database.url, 'setup'), new Connection(database.url, 'work')]
  try {
    const first = new Control(setup, 'app', 'first')
    await migrateOwnSchema(setup, database.url)
    await first.create('/app.db', 'public')
    await setup.use((client) => client.query(`UPDATE slipway.control SET holder = 'first'`))
    await first.refresh()
    const admin = await database.connect()
    await admin.query(`SET lock_timeout = '200ms'`)
    const replace = async (): Promise<string> =>
      await admin.query(`UPDATE slipway.control SET holder = 'second' WHERE migration = 'app'`).then(
        () => 'replaced',
        (error: { code: string }) => error.code,
      )
    for (const strength of ['update', 'share'] as const) {
      await work.transaction(async (client) => {
        await first.admit(client, strength)
        // Otherwise its batch would be committed after the second one had read where to go on.
        expect(await replace()).toBe('55P03')
      })
    }
    expect(await replace()).toBe('replaced')
  } finally {
    await Promise.all([setup.close(), work.close()])
  }
})
