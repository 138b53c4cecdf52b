/** Whose token it is, and what it allows. */
export interface Caller {
  /** GUID of the user, or the id of a client that acts for itself. */
  id: string;
  scopes: ReadonlySet<string>;
}
