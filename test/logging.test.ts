import { describe, expect, test } from 'vitest'
import { Failure } from '../src/core/errors.ts'
import { maskUrl, scrubber } from '../src/core/secrets.ts'
import { createLogger } from '../src/logging.ts'

describe('maskUrl', () => {
  test.each([
    ['postgres://user:s3cret@host/db', 'postgres://user:***@host/db'],
    ['postgres://user:a@b@host:5/db', 'postgres://user:***@host:5/db'],
    ['postgres://user:a/b#c@host/db', 'postgres://user:***@host/db'],
    ['postgres://user@host/db', 'postgres://user@host/db'],
    ['postgres://host/db?password=s3cret&x=1', 'postgres://host/db?password=***&x=1'],
    ['postgresql://:s3cret@/db', 'postgresql://:***@/db'],
    ['embedded', 'embedded'],
    ['./news.db', './news.db'],
  ])('%s', (url, masked) => {
    expect(maskUrl(url)).toBe(masked)
  })
})

describe('scrubber', () => {
  test('masks a secret in every form, and the password of any URL', () => {
    const scrub = scrubber({ postgresUrl: 'postgres://u:p%40ss"word@h/db', tokens: ['tok-123', undefined] })
    const text = 'a p@ss"word b p%40ss"word c {"x":"p@ss\\"word"} d tok-123 e https://me:other@h/ f'
    expect(scrub(text)).toBe('a *** b *** c {"x":"***"} d *** e https://me:***@h/ f')
  })

  test('a password that is also a name is masked in URLs only', () => {
    const scrub = scrubber({ postgresUrl: 'postgres://postgres:postgres@h/postgres' })
    expect(scrub('postgres at postgres://postgres:postgres@h/postgres')).toBe(
      'postgres at postgres://postgres:***@h/postgres',
    )
  })
})

describe('createLogger', () => {
  function lines(options: { format?: 'json' | 'pretty'; terminal?: boolean; level?: 'info' | 'debug' }) {
    const written: string[] = []
    const logger = createLogger({
      logLevel: options.level ?? 'info',
      logFormat: options.format,
      scrub: scrubber({ postgresUrl: 'postgres://u:hunter22@h/db', tokens: ['tok-123456'] }),
      write: (line) => written.push(line),
      terminal: options.terminal ?? false,
    })
    return { logger, written }
  }

  test.each(['json', 'pretty'] as const)('no secret leaks, as %s', (format) => {
    const { logger, written } = lines({ format })
    const cause = new Error('login with hunter22 failed')
    logger.info(
      { url: 'postgres://u:hunter22@h/db', password: 'x-anything', headers: { authorization: 'Bearer zzz' } },
      'hi',
    )
    logger.error({ err: new Error('cannot reach postgres://u:hunter22@h/db', { cause }) }, 'failed')
    logger.error({ err: new Failure({ code: 'c', message: 'tok-123456 is wrong', cause }) }, 'tok-123456')
    logger.info({ a: { b: { token: 'deep-anything' } } }, 'deep')
    const all = written.join('')
    expect(written.length).toBeGreaterThanOrEqual(4)
    expect(all).toContain('failed')
    for (const secret of ['hunter22', 'tok-123456', 'anything', 'zzz']) expect(all).not.toContain(secret)
  })

  test('JSON lines with level names and ISO time', () => {
    const { logger, written } = lines({})
    logger.debug('not shown')
    logger.info({ rows: 1 }, 'copied')
    expect(written).toHaveLength(1)
    expect(JSON.parse(written[0]!)).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      rows: 1,
      msg: 'copied',
    })
  })

  test('a failure is told by code and remedy, a defect by its stack', () => {
    const { logger, written } = lines({})
    logger.error({ err: new Failure({ code: 'port_taken', message: 'm', remedy: 'r' }) }, 'x')
    logger.error({ err: new TypeError('y') }, 'x')
    expect(JSON.parse(written[0]!).err).toEqual({ code: 'port_taken', message: 'm', remedy: 'r' })
    expect(JSON.parse(written[1]!).err.stack).toContain('logging.test.ts')
  })

  test('prose on a terminal, unless the configuration says otherwise', () => {
    const terminal = lines({ terminal: true })
    terminal.logger.info('hello')
    expect(terminal.written.join('')).toMatch(/INFO.*hello/)
    const json = lines({ terminal: true, format: 'json' })
    json.logger.info('hello')
    expect(JSON.parse(json.written[0]!).msg).toBe('hello')
  })
})
