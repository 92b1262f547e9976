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

  /** Does something with the value if it was ever used. */
  async ifUsed(work: (value: Value) => Promise<void>): Promise<void> {
    if (this.#loading !== null) await work(await this.#loading);
  }
}
