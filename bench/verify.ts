/**
 * How long does it take to prove that both sides are equal, and how much memory? POST /verify of a daemon beside
 * the `snapshot` command that made the same copy, in the same round.
 */
import { copyFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Answer } from './report.ts'
import { Slipway } from './slipway.ts'
import { type Sizes, type Stage, timed } from './stage.ts'

export async function measureVerify(
  stage: Stage,
  sizes: Sizes,
  tell: (line: string) => void,
): Promise<Answer> {
  const source = await stage.newsroom('verify.db', sizes.rows)
  const times = { verify: [] as number[], snapshot: [] as number[] }
  const peaks = { verify: [] as number[], snapshot: [] as number[] }
  for (let round = 1; round <= sizes.repeat; round++) {
    const sqlitePath = join(stage.dir, `verify-${round}.db`)
    await copyFile(source, sqlitePath)
    const postgresUrl = await stage.createDatabase()
    {
      await using slipway = await Slipway.create({ dir: stage.dir, sqlitePath, postgresUrl })
      times.snapshot.push(await timed(async () => peaks.snapshot.push(await slipway.snapshot())))
      await slipway.start()
      times.verify.push(await timed(() => verify(slipway, sizes.rows)))
      peaks.verify.push(await slipway.peak())
    }
    await stage.dropDatabase(postgresUrl)
    for (const end of ['', '-wal', '-shm']) await rm(`${sqlitePath}${end}`, { force: true })
    const shown = (name: 'verify' | 'snapshot'): string =>
      `${name} ${times[name].at(-1)?.toFixed(2)} s, ${peaks[name].at(-1)?.toFixed(0)} MB`
    tell(`  round ${round}: ${shown('snapshot')}; ${shown('verify')}`)
  }
  return {
    question: 'Every value of articles compared in both databases',
    amount: sizes.rows,
    unit: 'rows',
    slipway: {
      name: 'slipway verify',
      seconds: times.verify,
      peaks: peaks.verify,
      note: 'from POST /verify until GET /verify says done; memory of the daemon since its start',
    },
    peers: [
      {
        name: 'slipway snapshot',
        seconds: times.snapshot,
        peaks: peaks.snapshot,
        note: 'the whole command that made the copy, without a backup',
      },
    ],
  }
}

async function verify(slipway: Slipway, rows: number): Promise<void> {
  const report = await slipway.verify()
  if (report.equal !== true || report.rows_compared !== rows)
    throw new Error(`verify does not say that ${rows} rows are equal: ${JSON.stringify(report)}`)
}
