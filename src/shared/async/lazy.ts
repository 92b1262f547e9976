/** A value that is loaded when it is first used. */
export class Lazy<Value> {
  readonly #load: () => Promise<Value>;
  #loading: Promise<Value> | null = null;

  constructor(load: () => Promise<Value>) {
    this.#load = load;
  }

  get(): Promise<Value> {
    this.#loading ??= this.#load();
    return this.#loading;
  }

  /** Does something with the value if it was ever used; undefined otherwise. */
  async ifUsed<Result>(work: (value: Value) => Promise<Result>): Promise<Result | undefined> {
    return this.#loading === null ? undefined : work(await this.#loading);
  }
}
