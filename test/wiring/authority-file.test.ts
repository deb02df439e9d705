import { chmodSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AuthorityNote, writeAuthority } from '../../src/wiring/authority-file.ts'
import { Workspace } from '../support/daemon.ts'

const NOTE: AuthorityNote = {
  authority: 'sqlite',
  epoch: 3,
  phase: 'replicating',
  since: '2026-05-01T12:00:00.000Z',
}

let workspace: Workspace
let settings: Parameters<typeof writeAuthority>[0]
beforeEach(() => {
  workspace = new Workspace()
  writeFileSync(workspace.file('app.db'), 'a database')
  settings = {
    authorityFile: workspace.file('authority.json'),
    appSqliteUrl: 'sqlite:////data/news.db?mode=rw',
    appPostgresUrl: 'postgresql+psycopg://news:s%23cret@db/news',
    sqlitePath: workspace.file('app.db'),
  }
})
afterEach(() => workspace[Symbol.dispose]())

function read(): Record<string, unknown> {
  return JSON.parse(readFileSync(settings.authorityFile as string, 'utf8'))
}

describe('AUTHORITY_FILE', () => {
  test('tells who leads and how it is connected to, to the owner alone', async () => {
    expect(await writeAuthority(settings, NOTE)).toBe(true)
    expect(read()).toEqual({ ...NOTE, databaseUrl: settings.appSqliteUrl })
    expect(statSync(settings.authorityFile as string).mode & 0o777).toBe(0o600)
    const after = { ...NOTE, authority: 'postgres', epoch: 4, phase: 'switched_over' } as const
    expect(await writeAuthority(settings, after)).toBe(true)
    expect(read()).toEqual({ ...after, databaseUrl: settings.appPostgresUrl })
    expect(readdirSync(workspace.path).toSorted()).toEqual(['app.db', 'authority.json'])
  })

  test('names no database where nobody leads or no URL is set', async () => {
    await writeAuthority(settings, { ...NOTE, authority: 'none' })
    expect(read()).toEqual({ ...NOTE, authority: 'none' })
    await writeAuthority(
      { ...settings, appPostgresUrl: undefined },
      { ...NOTE, authority: 'postgres', epoch: 4 },
    )
    expect(read()).not.toHaveProperty('databaseUrl')
  })

  test('is replaced, never changed: who has the old one open reads the old one', async () => {
    await writeAuthority(settings, NOTE)
    const held = workspace.file('held')
    linkSync(settings.authorityFile as string, held)
    await writeAuthority(settings, { ...NOTE, epoch: 4 })
    expect(JSON.parse(readFileSync(held, 'utf8')).epoch).toBe(3)
    expect(read().epoch).toBe(4)
  })

  test('is left alone where it says the same already', async () => {
    await writeAuthority(settings, NOTE)
    const before = statSync(settings.authorityFile as string).ino
    expect(await writeAuthority(settings, NOTE)).toBe(false)
    expect(statSync(settings.authorityFile as string).ino).toBe(before)
    chmodSync(settings.authorityFile as string, 0o644)
    expect(await writeAuthority(settings, NOTE)).toBe(true)
    expect(statSync(settings.authorityFile as string).mode & 0o777).toBe(0o600)
  })

  test('is not taken back by a daemon that slept; a migration made anew begins again', async () => {
    await writeAuthority(settings, { ...NOTE, epoch: 5, since: '2026-05-01T13:00:00.000Z' })
    expect(await writeAuthority(settings, NOTE)).toBe(false)
    expect(read().epoch).toBe(5)
    expect(await writeAuthority(settings, { ...NOTE, epoch: 1, since: '2026-05-02T00:00:00.000Z' })).toBe(
      true,
    )
    expect(read().epoch).toBe(1)
  })

  test('is not written where it is not set', async () => {
    expect(await writeAuthority({ ...settings, authorityFile: undefined }, NOTE)).toBe(false)
    expect(readdirSync(workspace.path)).toEqual(['app.db'])
  })

  test('never overwrites what is not one', async () => {
    const path = workspace.file('notes.txt')
    for (const text of ['my notes', '{"name":"package"}', '[]', 'null']) {
      writeFileSync(path, text)
      await expect(writeAuthority({ ...settings, authorityFile: path }, NOTE)).rejects.toThrow(
        'left as it is',
      )
      expect(readFileSync(path, 'utf8')).toBe(text)
    }
    linkSync(settings.sqlitePath, workspace.file('linked'))
    for (const database of [settings.sqlitePath, `${settings.sqlitePath}-wal`, workspace.file('linked')]) {
      await expect(writeAuthority({ ...settings, authorityFile: database }, NOTE)).rejects.toThrow(
        expect.objectContaining({ code: 'authority_file' }),
      )
    }
    expect(readFileSync(settings.sqlitePath, 'utf8')).toBe('a database')
    // An empty file that somebody made to give it an owner.
    writeFileSync(path, '')
    expect(await writeAuthority({ ...settings, authorityFile: path }, NOTE)).toBe(true)
  })

  test('says what is in the way, without a secret', async () => {
    const authorityFile = workspace.file('gone/authority.json')
    const refused = await writeAuthority({ ...settings, authorityFile }, NOTE).catch((error) => error)
    expect(refused).toMatchObject({ code: 'authority_file', message: expect.stringContaining(authorityFile) })
    expect(JSON.stringify(refused) + refused.message + refused.remedy).not.toContain('s%23cret')
    mkdirSync(workspace.file('folder'))
    await expect(
      writeAuthority({ ...settings, authorityFile: workspace.file('folder') }, NOTE),
    ).rejects.toThrow('left as it is')
  })
})
