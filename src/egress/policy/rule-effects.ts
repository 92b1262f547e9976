/**
 * What a rule does with a request besides setting headers: forward it elsewhere, or answer it directly.
 */
import type { NetworkRule } from '../../shared/policy-schema.ts';
import { ruleError } from './rule-error.ts';

const WITHOUT_BODY = [204, 205, 304];
/** The proxy sets them itself. */
const PROXY_HEADERS = ['connection', 'content-length', 'transfer-encoding'];

/** @throws `invalid_argument` for a rule with more than one effect, or with an invalid one */
export function checkEffects({ domain, headers, forwardUrl, response }: NetworkRule): void {
  const given = { headers, forward_url: forwardUrl, response };
  const names = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (names.length > 1) {
    const hint =
      'Use only one of headers, forward_url and response per rule; put the others into separate rules.';
    throw ruleError(`a rule for ${domain} has ${names.join(' and ')}`, hint);
  }
  if (forwardUrl !== undefined) checkForwardUrl(forwardUrl, domain);
  if (response !== undefined) checkResponse(response, domain);
}

function checkForwardUrl(text: string, domain: string): void {
  const url = URL.canParse(text) ? new URL(text) : null;
  const plain = url?.protocol === 'https:' && url.search === '' && url.hash === '' && url.username === '';
  if (plain && url?.password === '') return;
  throw ruleError(
    `forward_url ${JSON.stringify(withoutCredentials(text).slice(0, 100))} for ${domain} is not a URL to forward to`,
    'Use an https URL such as https://proxy.example.com/path, without query, fragment or credentials.',
  );
}

/** The part before an `@` may be a password. */
function withoutCredentials(text: string): string {
  const at = text.lastIndexOf('@');
  return at === -1 ? text : `…${text.slice(at)}`;
}

function checkResponse(response: NonNullable<NetworkRule['response']>, domain: string): void {
  const { status, headers = {}, body, contentType } = response;
  const fail = (problem: string, hint: string) =>
    ruleError(`the response of a rule for ${domain} ${problem}`, hint);
  if (!Number.isInteger(status) || status < 200 || status > 599)
    throw fail(`has status ${status}`, 'Use a status from 200 to 599, such as 403.');
  if (body !== undefined && contentType === undefined)
    throw fail('has a body but no content_type', 'Set content_type too, such as text/plain.');
  if (body !== undefined && WITHOUT_BODY.includes(status))
    throw fail(`has a body and status ${status}`, 'Leave the body out, or use another status.');
  const names = Object.keys(headers).map((name) => name.toLowerCase());
  const managed = names.find((name) => PROXY_HEADERS.includes(name));
  if (managed !== undefined) throw fail(`sets ${managed}`, 'Leave that header out: the proxy sets it.');
  if (new Set(names).size < names.length)
    throw fail('sets a header twice', 'Header names are case-insensitive.');
}
