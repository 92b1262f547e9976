import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { nameOfSignal, SIGNALS, signalNumber } from '../../src/shared/signals.ts';
import { needs } from '../support/needs.ts';

describe('signals', () => {
  it('have the numbers of Linux', needs('Linux', process.platform === 'linux'), () => {
    const { SIGIOT: _iot, SIGPOLL: _poll, ...usual } = constants.signals;
    expect(Object.fromEntries(SIGNALS)).toEqual(usual);
  });

  it.each([
    [6, 'SIGABRT'],
    [29, 'SIGIO'],
    [15, 'SIGTERM'],
    [0, null],
    [40, null],
  ])('have their usual names: %i', (number, name) => {
    expect(nameOfSignal(number)).toBe(name);
  });

  it.each([
    ['SIGTERM', 15],
    ['usr1', 10],
    [' 9 ', 9],
    ['64', 64],
  ])('are parsed: %j', (text, number) => {
    expect(signalNumber(text)).toBe(number);
  });

  it.each(['', '0', '65', '-9', '9.0', 'SIGNOPE', 'toString'])('are rejected: %j', (text) => {
    expect(() => signalNumber(text)).toThrow(/is not a signal/);
  });
});
