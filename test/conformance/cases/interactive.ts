import { expect } from 'vitest';
import { PersonTerminal } from '../../support/person-terminal.ts';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import type { Extent, Subject } from '../support/subject.ts';

/** Terminals for people, if the engine supports them. */
export function interactiveCases(get: () => Subject, extent: Extent): void {
  describeCases('interactive', extent, (it) => {
    it('returns a port and a URL that opens one terminal', async (context) => {
      const { engine, create } = get();
      if (!engine.shells?.interactiveUrl) return context.skip('this engine has no terminals for people');
      const { sandboxId, interactivePort } = await create({ interactive: true });
      expect(interactivePort).toBeGreaterThan(0);
      const url = await engine.shells.interactiveUrl(sandboxId, timeoutSignal());
      expect(url).toMatch(/^wss?:\/\//);
      const terminal = await PersonTerminal.open(url);
      terminal.socket.send('echo he""re; exit 3\n');
      await terminal.until('here');
      expect((await terminal.closed).code).toBe(1000);
      await expect(PersonTerminal.open(url)).rejects.toThrow('401');
      const stopped = await engine.stop(sandboxId, 'requested', timeoutSignal());
      expect(stopped.interactivePort).toBeNull();
      await expect(engine.shells.interactiveUrl(sandboxId, timeoutSignal())).rejects.toMatchObject({
        code: 'conflict',
      });
    });

    it('is absent unless requested', async (context) => {
      const { engine, shared } = get();
      if (!engine.shells?.interactiveUrl) return context.skip('this engine has no terminals for people');
      expect(shared.interactivePort).toBeNull();
      await expect(engine.shells.interactiveUrl(shared.sandboxId, timeoutSignal())).rejects.toMatchObject({
        code: 'unavailable',
      });
    });
  });
}
