/** zchat in a page: rooms over one WebSocket, made again when it is lost. docs/web.md describes it.
 * What goes wrong is an `Error` with a `code`, see `Failure`. */
import type * as T from "./types";
/** What has listeners. @template {object} Events */
declare class Emitter<Events extends object> {
    #private;
    /** Call a function with each event of a kind. What it throws is shown in the console, and keeps nothing from the others.
     * @template {keyof Events} Kind @param {Kind} kind @param {(value: Events[Kind]) => void} listener
     * @returns {() => void} ends it */
    on<Kind extends keyof Events>(kind: Kind, listener: (value: Events[Kind]) => void): () => void;
}
/** A connection to `zchat web`, made again whenever it is lost, until `close`.
 * Its events are those of `ClientEvents`. What is asked while there is no connection waits for the next one.
 * @extends {Emitter<T.ClientEvents>} */
export declare class Client extends Emitter<T.ClientEvents> {
    #private;
    /** Connect. @param {T.Options} [options] */
    constructor(options?: T.Options);
    /** Whether there is a connection. */
    get state(): T.State;
    /** The user's name as the gateway has it; null before the first greeting is answered, and for a page that watches. */
    get user(): string | null;
    /** Join a room, and again over each later connection. A room that is joined already is the same object again.
     * @param {string} name in any case; `@` and a user's name for a direct room @param {T.JoinOptions} [options]
     * @returns {Promise<Room>} once it is joined
     * @throws {T.Failure} the room can't be joined: `not_allowed`, `banned`, `no_such_room`, `bad_name`, `limit_reached` … */
    join(name: string, options?: T.JoinOptions): Promise<Room>;
    /** List the rooms that the user may see, by name. @returns {Promise<T.RoomInfo[]>} */
    rooms(): Promise<T.RoomInfo[]>;
    /** List who is in a room, by name. @param {string} room @returns {Promise<T.Member[]>} */
    members(room: string): Promise<T.Member[]>;
    /** End the connection for good; what waits fails with the code `closed`. */
    close(): void;
}
/** A room that was joined.
 * Its events are those of `RoomEvents`. Each message comes once and in the order of the log, over lost connections too.
 * @extends {Emitter<T.RoomEvents>} */
export declare class Room extends Emitter<T.RoomEvents> {
    #private;
    /** Its name, as the broker writes it. */
    name: string;
    /** Up to where the room is read: what `after` of a later `join` takes. */
    position: string;
    /** The newest messages when it was joined, as many as `history` asked for. @type {T.Message[]} */
    recent: T.Message[];
    /** True if there are older ones. */
    more: boolean;
    /** Who types, but the user. @type {Set<string>} */
    typing: Set<string>;
    /** How many users are there. */
    members: number;
    /** True if it is joined over the present connection. */
    joined: boolean;
    /** Send a message, after those that were sent before it. It is stored once, however often the connection is lost.
     * @param {any} body what JSON can hold @returns {Promise<{ seq: number, time: Date }>} once it is stored
     * @throws {T.Failure} it was not stored; or, with the code `outcome_unknown`, the gateway that had it is gone, and the log
     * doesn't show whether it was */
    send(body: any): Promise<{
        seq: number;
        time: Date;
    }>;
    /** Read the log. @param {T.HistoryOptions} [options] @returns {Promise<T.Message[]>} oldest first */
    history(options?: T.HistoryOptions): Promise<T.Message[]>;
    /** Show the others that the user types; to be called at each key. @param {boolean} [active] false: no more */
    type(active?: boolean): void;
    /** Mark the room as read; a mark never goes back. @param {number} [seq] up to there; by default all that has come */
    markRead(seq?: number): void;
    /** Leave the room; what waits to be sent to it fails with the code `not_a_member`. */
    leave(): Promise<void>;
}
export {};
