import type { SnapshotEvent, VisitEvent } from "./events.js";

export type * from "./events.js";

/** How the connection is. `idle`: it is over. */
export type State = "connecting" | "live" | "reconnecting" | "polling" | "idle";

/** Of the tabs that watch the same visit one leads, and is connected. */
export type Role = "leading" | "following" | "alone";

export type EndReason = "completed" | "failed" | "cancelled" | "expired" | "revoked" | "disabled";

export interface WatchOptions {
  /** The visit as of `event.seq`: first, and again after the database lost events. */
  onSnapshot?(event: SnapshotEvent): void;
  /** Each event after that, once and in order. */
  onEvent?(event: VisitEvent): void;
  onState?(state: State): void;
  onRole?(role: Role): void;
  /** Once. After `expired`, sign in again. */
  onEnd?(reason: EndReason): void;
  /** The gateway's address, from another origin. */
  base?: string;
  /** Headers with the Authorization, for what is polled. */
  headers?(): HeadersInit | Promise<HeadersInit>;
  /** A new ticket. Throw an error with `status: 401` to end as `expired`. */
  fetchTicket?(): Promise<string>;
}

/** Follow a visit until `close()`. */
export function watchVisit(visitId: string, options: WatchOptions): { close(): void };
