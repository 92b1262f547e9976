import { describe, expect, it } from 'vitest';
import { npmSetting } from '../../src/config/npm-setting.ts';

describe('npm’s settings', () => {
  it('are read from npm’s own places', () => {
    expect(npmSetting({}, '/home/me', '/opt/node/bin/node')).toEqual({
      registry: null,
      caFile: null,
      files: ['/home/me/.npmrc', '/opt/node/etc/npmrc'],
    });
    expect(npmSetting({}, null, '/usr/bin/node').files).toEqual(['/usr/etc/npmrc']);
  });

  it('are read from variables in either case, and an empty one counts as unset', () => {
    const env = {
      npm_config_registry: 'https://registry.example/',
      NPM_CONFIG_CAFILE: '/ca.pem',
      npm_config_userconfig: '/my/npmrc',
      NPM_CONFIG_GLOBALCONFIG: '/all/npmrc',
      npm_config_prefix: '',
    };
    expect(npmSetting(env, '/home/me', '/usr/bin/node')).toEqual({
      registry: 'https://registry.example/',
      caFile: '/ca.pem',
      files: ['/my/npmrc', '/all/npmrc'],
    });
    expect(npmSetting({ npm_config_prefix: '/p' }, null, '/usr/bin/node').files).toEqual(['/p/etc/npmrc']);
  });
});
