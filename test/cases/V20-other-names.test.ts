import { expect, test } from 'vitest'
import { Scenario } from '../support/scenario.ts'

// The same table under another name: it is found where that is clear, else a person says which one is meant. Never are
// no rows loaded and called a copy.

const SOURCE = [
  'CREATE TABLE Album (AlbumId INTEGER PRIMARY KEY, Title TEXT, artistName TEXT)',
  `INSERT INTO Album VALUES (1, 'Blue', 'Joni'), (2, 'Hejira', 'Joni')`,
]
const ALBUMS = [
  { album_id: 1, title: 'Blue', artist_name: 'Joni' },
  { album_id: 2, title: 'Hejira', artist_name: 'Joni' },
]

test('the same letters in another style', async () => {
  await using scenario = await Scenario.replicating({
    source: SOURCE,
    target: 'CREATE TABLE album (album_id int PRIMARY KEY, title text, artist_name text)',
  })
  expect(await scenario.postgres('SELECT * FROM album ORDER BY 1')).toEqual(ALBUMS)
  await scenario.write([`UPDATE Album SET Title = 'Mingus' WHERE AlbumId = 2`])
  await scenario.daemon.caughtUp()
  expect(await scenario.postgres('SELECT title FROM album WHERE album_id = 2')).toEqual([{ title: 'Mingus' }])
  const { warnings } = (await scenario.daemon.status())!
  expect(warnings).toEqual(
    expect.arrayContaining(['Album lands in album', 'Album.AlbumId lands in album_id']),
  )
})

test('two that may be meant: refused, until the plan names one', async () => {
  await using scenario = await Scenario.prepare({
    source: SOURCE,
    target: `CREATE TABLE album (album_id int PRIMARY KEY, title text, artist_name text);
             CREATE TABLE "ALBUM" (album_id int PRIMARY KEY, title text, artist_name text);`,
  })
  const refused = await scenario.slipway.run(['snapshot'])
  expect(refused.code).toBe(3)
  expect(refused.stderr).toMatch(/Album may be (ALBUM or album|album or ALBUM) in public/)
  scenario.writePlan({ Album: { target: 'album' } })
  await scenario.slipway.mustRun(['snapshot'])
  expect(await scenario.postgres('SELECT * FROM album ORDER BY 1')).toEqual(ALBUMS)
  expect(await scenario.postgres('SELECT * FROM "ALBUM"')).toEqual([])
})

test('other letters altogether, by the plan, down to the columns', async () => {
  await using scenario = await Scenario.prepare({
    source: SOURCE,
    target: 'CREATE TABLE records (nr int PRIMARY KEY, name text, year int)',
  })
  scenario.writePlan({
    Album: {
      target: 'records',
      columns: {
        AlbumId: { target: 'nr' },
        Title: { target: 'name' },
        artistName: { include: false },
      },
    },
  })
  await scenario.start()
  await scenario.daemon.caughtUp()
  await scenario.write([
    `INSERT INTO Album VALUES (3, 'Court and Spark', 'Joni')`,
    'DELETE FROM Album WHERE AlbumId = 1',
  ])
  await scenario.daemon.caughtUp()
  expect(await scenario.postgres('SELECT * FROM records ORDER BY 1')).toEqual([
    { nr: 2, name: 'Hejira', year: null },
    { nr: 3, name: 'Court and Spark', year: null },
  ])
  const { warnings } = (await scenario.daemon.status())!
  expect(warnings).toContain('Album.artistName stays behind, as the plan says')
})
