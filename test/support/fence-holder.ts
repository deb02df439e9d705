/** `fence-holder.ts FILE TABLES WHAT`: does it, says `ready`, and keeps what it holds until it is killed. */
import { fenceOf, NEVER } from './fence.ts'

const [path = '', tables = '[]', what = ''] = process.argv.slice(2)
const fence = fenceOf(path, JSON.parse(tables) as string[])

if (what.startsWith('pause ')) {
  await fence.pause('a test', new Date(Number(what.slice('pause '.length))))
} else {
  const lock = await fence.lock(5_000, NEVER)
  lock.raise({ epoch: 2, attempt: 1 })
  if (what === 'fence') await lock.commit({ ms: 1_000, signal: NEVER })
}
console.log('ready')
if (!what.startsWith('pause ')) setInterval(() => {}, 1_000)
