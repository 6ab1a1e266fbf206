/** Names for plain numbers that must not be mixed up: a token id is not a slot, a microjoule is not a micro-dollar. */
declare const brand: unique symbol;
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };

/** Index into a model's vocabulary: 0 <= id < vocabSize. */
export type TokenId = Brand<number, "TokenId">;
/** One sequence (one choice of one request) inside one scheduler; unique for the life of the process. */
export type SequenceId = Brand<number, "SequenceId">;
/** Counts the steps of one lane, from 1. */
export type StepId = Brand<number, "StepId">;
/** A row of the lane's KV arena: 0 <= slot < rows. */
export type Slot = Brand<number, "Slot">;

export const tokenId = (id: number): TokenId => id as TokenId;
export const sequenceId = (id: number): SequenceId => id as SequenceId;
export const stepId = (id: number): StepId => id as StepId;
export const slot = (index: number): Slot => index as Slot;
