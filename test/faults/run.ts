/**
 * `npm run check:faults -- --seconds N --seed S [--rate 200] [--keep]`: writers, faults, proof. The same seed gives the
 * same schedule; `--first N --rounds M` repeats a part of it. Exit code 0 where the proof holds, 1 where it does not,
 * 2 where it was called wrongly.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { check } from './check.ts'
import { describeRound, roundOf } from './schedule.ts'

/** The schedule is told in full for so many rounds a second, more than there ever are. */
const ROUNDS_A_SECOND = 0.5

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      rate: { type: 'string', default: '200' },
      writers: { type: 'string', default: '6' },
      first: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '1000000' },
      passages: { type: 'string', default: 'on' },
      keep: { type: 'boolean', default: false },
    },
  })
  const number = (name: 'seconds' | 'seed' | 'rate' | 'writers' | 'first' | 'rounds'): number => {
    const value = Number(values[name])
    if (!Number.isFinite(value) || value < 0) throw new TypeError(`--${name} must be a number`)
    return value
  }
  const options = {
    seconds: number('seconds'),
    seed: number('seed'),
    rate: number('rate'),
    writers: number('writers'),
    first: number('first'),
    rounds: number('rounds'),
    passages: values.passages !== 'off',
  }
  const directory = mkdtempSync(join(tmpdir(), 'slipway-faults-'))
  const planned = Math.min(options.rounds, Math.ceil(options.seconds * ROUNDS_A_SECOND))
  const schedule = Array.from({ length: planned }, (_, index) =>
    describeRound(roundOf(options.seed, options.first + index)),
  )
  writeFileSync(join(directory, 'schedule.txt'), `${schedule.join('\n')}\n`)
  console.log(
    `seed ${options.seed}, ${options.seconds} s, ${options.rate} writes/s. Schedule:\n${schedule.join('\n')}\n`,
  )
  // However it ends.
  process.once('exit', () => {
    if (values.keep) console.log(`kept: ${directory}`)
    else rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  })
  const result = await check({ ...options, directory, say: (line) => console.log(line) })
  for (const problem of result.problems) console.log(`PROBLEM ${problem}`)
  console.log(result.summary)
  return result.ok ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error)
  process.exitCode = error instanceof TypeError ? 2 : 1
}
