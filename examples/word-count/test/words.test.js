import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countWords, summary, topWords, words } from '../src/words.js';

describe('words', () => {
  it('are in lower case and in order', () => {
    assert.deepEqual(words('The river, the RIVER!'), ['the', 'river', 'the', 'river']);
  });

  it('keep apostrophes and hyphens inside, and lose them outside', () => {
    assert.deepEqual(words("'don’t' well-known - x"), ["don't", 'well-known', 'x']);
  });

  it('may be of any script', () => {
    assert.deepEqual(words('Straße река 川'), ['straße', 'река', '川']);
  });

  it('do not depend on how a letter is composed', () => {
    assert.equal(countWords('caf\u00e9 cafe\u0301').get('caf\u00e9'), 2);
  });

  it('are none in an empty text', () => {
    assert.deepEqual(words(' \n 123 …'), []);
  });
});

describe('topWords', () => {
  it('has the more frequent first, equals by the alphabet', () => {
    assert.deepEqual(topWords(countWords('b a c c b a c'), 3), [
      ['c', 3],
      ['a', 2],
      ['b', 2],
    ]);
  });

  it('stops at the limit', () => {
    assert.equal(topWords(countWords('a b c d'), 2).length, 2);
  });
});

describe('summary', () => {
  it('counts words, different words and sentences, and finds the longest', () => {
    assert.deepEqual(summary('It left? It has left it.'), {
      words: 6,
      different: 3,
      sentences: 2,
      longest: 'left',
    });
  });

  it('has no longest word where there is none', () => {
    assert.deepEqual(summary(''), { words: 0, different: 0, sentences: 0, longest: null });
  });
});
