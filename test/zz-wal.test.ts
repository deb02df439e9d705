import { statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { Slipway, Workspace } from './support/daemon.ts'
import { createDatabase } from './support/postgres.ts'
import { createSource, startWriters, stopWriters } from './support/writers.ts'
test('timeline', { timeout: 120_000 }, async () => {
  using workspace = new Workspace()
  const sqlitePath = workspace.file('app.db')
  await createSource(sqlitePath, { fill: 100_000 })
  await using database = await createDatabase()
  await using slipway = await Slipway.create({ directory: workspace.path, sqlitePath, postgresUrl: database.url, env: { MAX_WAL_MB: '8', SNAPSHOT_WORKERS: '2', LOG_LEVEL: 'debug' } })
  const writers = await startWriters(2, { path: sqlitePath, rate: 1000, seed: 'busy' })
  const samples: string[] = []
  let on = true
  const w = (async () => { let last = 0; while (on) { const s = statSync(sqlitePath + '-wal', { throwIfNoEntry: false })?.size ?? 0; if (Math.abs(s - last) > 2e6) { samples.push(`${new Date().toISOString()} wal ${(s / 1e6).toFixed(1)} MB`); last = s } await sleep(10) } })()
  const daemon = await slipway.start()
  await daemon.when('replicating', (lag) => lag.phase === 'replicating', 90_000)
  await sleep(4000)
  await stopWriters(writers)
  await daemon.caughtUp()
  on = false
  await w
  const log = daemon.process.stderr.split('\n').filter(Boolean).map((l) => { try { const j = JSON.parse(l); return `${j.time} ${j.msg} ${j.changes ?? ''} ${j.seconds ?? ''}` } catch { return l } })
  console.log([...samples, ...log].sort().join('\n'))
})
