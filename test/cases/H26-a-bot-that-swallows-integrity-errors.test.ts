import { expect, test } from 'vitest'
import { Process, until } from '../support/daemon.ts'
import { pass } from '../support/passages.ts'
import { Scenario } from '../support/scenario.ts'

// A bot that takes every IntegrityError for "known already" loses nothing at a switchover: whatever it believes to be
// there is on PostgreSQL, and what was refused it has noticed as an OperationalError.

const BOT = `
import sqlite3, sys, time
path, name = sys.argv[1], sys.argv[2]
noticed = 0
for n in range(100000):
    link = f'link {n // 2 if n % 3 == 0 else name + str(n)}'
    # As it is written most often: a connection for each run.
    db = sqlite3.connect(path, timeout=5)
    try:
        with db:
            db.execute('INSERT INTO articles (canonical_link, title) VALUES (?, ?)', (link, f'news {n}'))
            if n % 5 == 0:
                db.execute('INSERT OR IGNORE INTO articles (canonical_link, title) VALUES (?, ?)', (link + ' again', 'more'))
        print('believes', link, flush=True)
        if n % 5 == 0:
            print('believes', link + ' again', flush=True)
    except sqlite3.IntegrityError:
        print('believes', link, flush=True)
    except sqlite3.OperationalError as error:
        print('noticed', link, error, flush=True)
        noticed += 1
        if noticed == 20:
            break
    finally:
        db.close()
    time.sleep(0.002)
`

test('a bot that swallows IntegrityError', { timeout: 120_000 }, async () => {
  await using scenario = await Scenario.replicating({
    source: [
      'CREATE TABLE articles (id INTEGER PRIMARY KEY AUTOINCREMENT, canonical_link TEXT NOT NULL UNIQUE, title TEXT NOT NULL)',
      'CREATE TABLE log (n INTEGER PRIMARY KEY, what TEXT)',
      `CREATE TRIGGER logged AFTER INSERT ON articles BEGIN INSERT INTO log (what) VALUES (NEW.canonical_link); END`,
    ],
  })
  for (let cycle = 0; cycle < 3; cycle++) {
    const bots = ['a', 'b'].map(
      (name) => new Process('python3', ['-c', BOT, scenario.path, `${name}${cycle} `]),
    )
    const busy = (bot: Process): boolean => bot.stdout.split('\n').length > 40
    await until(() => bots.every(busy), {
      ms: 30_000,
      describe: () => bots.map((bot) => bot.tail()).join('\n'),
    })
    const { pause_ms: pauseMs } = await pass(scenario, 'switchover')
    expect(pauseMs).not.toBeNull()
    const results = await Promise.all(bots.map((bot) => bot.end(30_000)))
    const lines = results.flatMap(({ stdout }) => stdout.trimEnd().split('\n'))
    const believed = lines.filter((line) => line.startsWith('believes ')).map((line) => line.slice(9))
    const noticed = lines.filter((line) => line.startsWith('noticed '))
    expect(results.map(({ code, stderr }) => [code, stderr])).toEqual(bots.map(() => [0, '']))
    expect(noticed).toHaveLength(40)
    expect(noticed.filter((line) => !/slipway: writes are closed here/.test(line))).toEqual([])
    const missing = await scenario.postgres(
      'SELECT link FROM unnest($1::text[]) link WHERE NOT EXISTS (SELECT 1 FROM articles WHERE canonical_link = link)',
      [believed],
    )
    expect(missing).toEqual([])
    await pass(scenario, 'rollback')
    await scenario.equalAtLagZero()
  }
})
