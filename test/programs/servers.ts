/** Servers that are installed with apt and started as on any Debian machine. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { isDebian, type Machine, NEEDED, openMachine } from './support/machine.ts';

describe('servers', needs(NEEDED, isDebian), () => {
  let machine: Machine;

  beforeAll(async () => {
    machine = await openMachine();
  });

  afterAll(() => machine?.close());

  it('PostgreSQL: its service starts, and a client works over a socket and over TCP', async () => {
    await machine.install('postgresql');
    await machine.output('service postgresql start', { sudo: true });
    const psql = (sql: string) =>
      machine.output(`runuser -u postgres -- psql --no-align --tuples-only --command "${sql}"`, {
        sudo: true,
      });
    await psql("create role me login password 'secret'");
    await psql('create database mine owner me');
    const url = 'postgresql://me:secret@127.0.0.1/mine';
    const tcp = (sql: string) => machine.output(`psql ${url} --no-align --tuples-only --command "${sql}"`);
    await tcp('create table t as select generate_series(1, 1000) n');
    expect(await tcp('select sum(n) from t')).toBe('500500\n');
    await machine.output('service postgresql restart', { sudo: true });
    expect(await tcp('select count(*) from t')).toBe('1000\n');
  });

  it('Redis: answers, and keeps what it was told across a restart', async () => {
    await machine.install('redis-server');
    await machine.output('service redis-server start', { sudo: true });
    await expect.poll(() => machine.run('redis-cli ping')).toMatchObject({ stdout: 'PONG\n' });
    await machine.output('redis-cli set greeting hello && redis-cli save');
    await machine.output('service redis-server restart', { sudo: true });
    await expect.poll(() => machine.run('redis-cli get greeting')).toMatchObject({ stdout: 'hello\n' });
  });

  it('nginx: serves a page on port 80, inside and to the host', async () => {
    await machine.install('nginx-light');
    await machine.output('echo "<h1>served</h1>" > /var/www/html/index.html && service nginx start', {
      sudo: true,
    });
    expect(await machine.output('curl --silent --fail http://127.0.0.1/')).toBe('<h1>served</h1>\n');
    const page = await fetch(await machine.url(80));
    expect([page.status, await page.text()]).toEqual([200, '<h1>served</h1>\n']);
  });

  it('sudo: changes the user for root', async () => {
    await machine.install('sudo');
    expect(await machine.output('sudo -n -u vercel-sandbox id -un', { sudo: true })).toBe('vercel-sandbox\n');
  });

  it('sshd: lets its user log in by key, run a command and copy a file', async () => {
    await machine.install('openssh-server', 'openssh-client');
    await machine.output(
      'ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/id_ed25519 && cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys',
    );
    await machine.output('service ssh start', { sudo: true });
    const ssh = 'ssh -o StrictHostKeyChecking=no 127.0.0.1';
    await expect.poll(async () => (await machine.run(`${ssh} true`)).exitCode).toBe(0);
    expect(await machine.output(`${ssh} 'id -un; echo $HOME'`)).toBe(
      'vercel-sandbox\n/home/vercel-sandbox\n',
    );
    await machine.output('echo content > sent && scp -q -o StrictHostKeyChecking=no sent 127.0.0.1:received');
    expect(await machine.output('cat ~/received')).toBe('content\n');
  });
});
