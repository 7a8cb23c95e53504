/** The types of what zchat.js takes and gives. Browsers don't load this file. */

/** What went wrong: a code of docs/web.md, and a text for people. */
export interface Failure extends Error {
  code: string;
  /** True if the same can work later. */
  retryable: boolean;
  /** In how many milliseconds, if that is known. */
  after?: number | null;
  /** When a ban or a mute ends, in seconds since 1970; null: not by itself, or it is neither. */
  until?: number | null;
}

export interface Message {
  room: string;
  /** Its number in the room's log. */
  seq: number;
  /** When it was stored. */
  time: Date;
  user: string;
  /** What was sent. */
  body: any;
  /** True if the body is the base64 of MessagePack, as JSON can't hold it. */
  coded: boolean;
}

/** Messages after seq `after` up to seq `upto` that can't be had. */
export interface Gap {
  room: string;
  after: number;
  upto: number;
  /** `trimmed`, `reset`, `tail_lost` or `withheld`. */
  reason: string;
}

export interface Member {
  user: string;
  /** Since when, in microseconds since 1970. */
  since: number;
  typing: boolean;
  /** The room is read up to this seq. */
  mark: number;
}

export interface RoomInfo {
  name: string;
  /** How many users are there. */
  members: number;
  /** The seqs of the oldest and the newest message. */
  first: number;
  last: number;
  /** How many messages the user has not read; null in a room that the user has never marked. */
  unread: number | null;
}

/** The end of a room for this client. */
export interface Removed {
  room: string;
  /** `kicked`, `banned`, `not_allowed`, or why it could not be joined again. */
  code: string;
  reason: string;
  /** The moderator; "" for nobody. */
  by: string;
  /** When it ends by itself, in seconds since 1970; null: not by itself, or the room can be joined at once. */
  until: number | null;
}

/** A message that was not taken yet. */
export interface Slowed {
  text: string;
  /** When it is sent again, in milliseconds since 1970. */
  until: number;
}

/** `lost`: the connection is made again; `closed`: it is not. */
export type State = "connecting" | "open" | "lost" | "closed";

/** With neither `user` nor `token` the page watches, unless the gateway knows the user by other means. */
export interface Options {
  user?: string;
  /** The token, or what returns one for each connection. */
  token?: string | (() => string | Promise<string>);
  /** The WebSocket's; by default `ws` beside the page. */
  url?: string;
}

export interface JoinOptions {
  /** Read on after this position, or from the "start"; by default from now. */
  after?: string | null;
  /** How many of the newest messages to have in `recent`: 200 at most. */
  history?: number;
  /** Read without being there. */
  watch?: boolean;
  /** False: fail if there is no such room. */
  create?: boolean;
}

export interface HistoryOptions {
  /** The oldest ones after this seq. */
  after?: number;
  /** The newest ones before this seq. */
  before?: number;
  /** 200 at most; 50 by default. */
  limit?: number;
}

export interface ClientEvents {
  state: State;
  /** False: the broker is away; true: it is back. */
  link: boolean;
  /** Somebody wrote in a direct room that is not joined. */
  invited: { room: string; user: string };
  /** Why the gateway lets this page in no more, or refused what has no answer. */
  error: Failure;
}

export interface RoomEvents {
  message: Message;
  gap: Gap;
  typing: { user: string; active: boolean };
  joined: { user: string };
  left: { user: string };
  read: { user: string; seq: number };
  /** The counts of a room with too many members for names. */
  crowd: { members: number; typing: number };
  slowed: Slowed;
  /** The room has ended for this client; join it anew to come back. */
  removed: Removed;
}

/** A JSON object on the WebSocket, as docs/web.md describes them. */
export type Frame = any;

/** A command that waits for its answer. */
export interface Call {
  text: string;
  /** What must be joined first. */
  room?: { joined: boolean };
  /** True if it must not be carried out twice. */
  once: boolean;
  /** True if it was written over the present connection. */
  written?: boolean;
  /** True if it was written over an earlier one. */
  doubtful?: boolean;
  resolve: (answer: any) => void;
  reject: (error: Failure) => void;
}
