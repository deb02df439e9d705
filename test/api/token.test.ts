import { chmod, mkdtemp, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { ensureToken, readToken, tokenPath } from '../../src/api/token.ts'

let stateDir: string
beforeEach(async () => {
  stateDir = path.join(await mkdtemp(path.join(tmpdir(), 'slipway-token-')), 'state')
})

const mode = async (file: string) => ((await stat(file)).mode & 0o777).toString(8)

describe('the token in STATE_DIR', () => {
  test('is made once, long, and readable by its owner alone', async () => {
    expect(await readToken(stateDir)).toBeUndefined()
    const token = await ensureToken(stateDir)
    expect(Buffer.from(token, 'base64url')).toHaveLength(32)
    expect(await ensureToken(stateDir)).toBe(token)
    expect(await readToken(stateDir)).toBe(token)
    expect([await mode(stateDir), await mode(tokenPath(stateDir))]).toEqual(['700', '600'])
  })

  test('is one for daemons that start together', async () => {
    const tokens = await Promise.all(Array.from({ length: 20 }, () => ensureToken(stateDir)))
    expect(new Set(tokens).size).toBe(1)
    expect(await readFile(tokenPath(stateDir), 'utf8')).toBe(`${tokens[0]}\n`)
  })

  test('an empty leftover is replaced, and an open file closed', async () => {
    await ensureToken(stateDir)
    await writeFile(tokenPath(stateDir), '')
    const token = await ensureToken(stateDir)
    expect(token).toHaveLength(43)
    await chmod(tokenPath(stateDir), 0o644)
    expect(await ensureToken(stateDir)).toBe(token)
    expect(await mode(tokenPath(stateDir))).toBe('600')
  })

  test('a place that cannot be written is told with a remedy', async () => {
    const file = path.join(tmpdir(), `slipway-no-folder-${process.pid}`)
    await writeFile(file, '')
    await expect(ensureToken(path.join(file, 'state'))).rejects.toMatchObject({ code: 'state_dir', exit: 3 })
  })
})
