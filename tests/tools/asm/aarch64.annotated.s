// loops, with the instructions of each outside of the loops in it
//   loop                            label   fma  mul  add  loads  broadcasts  stores  spills  reloads  calls
//   for t in range(0, T)            BB1_5     .    .    .      .           .       .       .        .      .
//     for j in parallel(0, 64, 32)  BB1_7     .    .    .      .           .       .       .        .      .
//       for r in parallel(0, B)     BB1_9     .    .    8      8           .       8       .        .      .
//         for k in range(0, 64)     BB1_10    8    .    .      9           .       .       .        .      .  <== hottest loop of the scan
	.text
	.globl	rnncc.cell
rnncc.cell:                             // @rnncc.cell
// %bb.0:
	str	x30, [sp, #-16]!                // 8-byte Folded Spill
	ldp	x8, x9, [x0]
	ldp	x2, x3, [x0, #16]
	ldp	x4, x5, [x1]
	mov	x0, x8
	mov	x1, x9
	bl	rnncc.body
	mov	w0, wzr
	ldr	x30, [sp], #16                  // 8-byte Folded Reload
	ret
.Lfunc_end0:
rnncc.body:                             // @rnncc.body
// %bb.0:                               // %entry
	stp	x30, x25, [sp, #-64]!           // 16-byte Folded Spill
	stp	x22, x21, [sp, #32]             // 16-byte Folded Spill
	lsl	x22, x4, #8
	mov	x21, x5
	stp	x24, x23, [sp, #16]             // 16-byte Folded Spill
	mov	x23, x4
	mov	x24, x1
	stp	x20, x19, [sp, #48]             // 16-byte Folded Spill
	mov	x19, x3
	mov	x20, x2
	cmp	x4, #1
	mov	x25, x0
	b.lt	.LBB1_2
// %bb.1:                               // %j.parallel.head.preheader.preheader
	mov	x0, x20
	mov	w1, wzr
	mov	x2, x22
	bl	memset
.LBB1_2:                                // %t.range.head.preheader
	cmp	x21, #1
	b.lt	.LBB1_12
// %bb.3:                               // %j.parallel.2.head.preheader.preheader
	movi	v0.2d, #0000000000000000
	mov	x8, xzr
	b	.LBB1_5
.LBB1_4:                                // %t.range.latch
	add	x8, x8, #1
	cmp	x8, x21
	b.eq	.LBB1_12

// ---- for t in range(0, T), depth 1 ----
.LBB1_5:                                // %j.parallel.2.head.preheader
	mvn	w10, w8
	mul	x9, x8, x23
	tst	w8, #0x1
	and	x10, x10, #0x1
	csel	x11, x23, xzr, ne
	mov	x15, xzr
	mul	x10, x10, x23
	add	x11, x20, x11, lsl #8
	mov	w13, #1                         // =0x1
	b	.LBB1_7
.LBB1_6:                                // %j.parallel.2.latch
	mov	w13, wzr
	mov	w15, #32                        // =0x20
	tbz	w12, #0, .LBB1_4

// ---- for j in parallel(0, 64, 32), depth 2    inside of t ----
.LBB1_7:                                // %r.parallel.head.preheader
	cmp	x23, #1
	mov	w12, w13
	b.lt	.LBB1_6
// %bb.8:                               // %k.range.head.preheader.lr.ph
	orr	x16, x15, #0x10
	add	x14, x25, x15, lsl #8
	lsl	x15, x15, #2
	lsl	x16, x16, #2
	mov	x13, xzr
	mov	x17, x11

// ---- for r in parallel(0, B), depth 3    inside of t > j ----
.LBB1_9:                                // %k.range.head.preheader
	movi	v4.2d, #0000000000000000
	movi	v1.2d, #0000000000000000
	mov	x18, xzr
	movi	v2.2d, #0000000000000000
	movi	v3.2d, #0000000000000000
	mov	x0, x14
	movi	v5.2d, #0000000000000000
	movi	v6.2d, #0000000000000000
	movi	v7.2d, #0000000000000000
	movi	v16.2d, #0000000000000000

// ==== scan step t: inner loop over k: 8 fma, 8 loads (16 B), 1 load (4 B), 0 broadcasts, 0 spills ====
//      for k in range(0, 64)    inside of t > j > r
.LBB1_10:                               // %k.range
	ldp	q20, q18, [x0, #16]
	ldr	s17, [x17, x18]
	ldr	q19, [x0]
	add	x18, x18, #4
	ldr	q21, [x0, #48]
	cmp	x18, #256
	fmla	v7.4s, v18.4s, v17.s[0]
	ldr	q18, [x0, #4112]
	fmla	v4.4s, v20.4s, v17.s[0]
	fmla	v6.4s, v19.4s, v17.s[0]
	ldr	q19, [x0, #4128]
	fmla	v16.4s, v21.4s, v17.s[0]
	ldr	q20, [x0, #4144]
	ldr	q21, [x0, #4096]
	fmla	v2.4s, v18.4s, v17.s[0]
	fmla	v3.4s, v19.4s, v17.s[0]
	add	x0, x0, #64
	fmla	v1.4s, v21.4s, v17.s[0]
	fmla	v5.4s, v20.4s, v17.s[0]
	b.ne	.LBB1_10
// %bb.11:                              // %k.range.exit
	add	x18, x13, x9
	add	x17, x17, #256
	add	x18, x24, x18, lsl #8
	add	x0, x18, x15
	add	x18, x18, x16
	ldp	q18, q17, [x0, #32]
	fadd	v16.4s, v16.4s, v17.4s
	ldp	q19, q17, [x0]
	fadd	v7.4s, v7.4s, v18.4s
	ldp	q18, q20, [x18, #32]
	add	x0, x13, x10
	add	x13, x13, #1
	fadd	v4.4s, v4.4s, v17.4s
	fadd	v6.4s, v6.4s, v19.4s
	cmp	x13, x23
	ldp	q17, q19, [x18]
	fadd	v5.4s, v5.4s, v20.4s
	fadd	v3.4s, v3.4s, v18.4s
	fmax	v16.4s, v16.4s, v0.4s
	fmax	v7.4s, v7.4s, v0.4s
	add	x18, x20, x0, lsl #8
	fadd	v2.4s, v2.4s, v19.4s
	fadd	v1.4s, v1.4s, v17.4s
	fmax	v4.4s, v4.4s, v0.4s
	fmax	v6.4s, v6.4s, v0.4s
	fmax	v5.4s, v5.4s, v0.4s
	add	x0, x18, x15
	fmax	v3.4s, v3.4s, v0.4s
	add	x18, x18, x16
	stp	q7, q16, [x0, #32]
	fmax	v2.4s, v2.4s, v0.4s
	fmax	v1.4s, v1.4s, v0.4s
	stp	q6, q4, [x0]
	stp	q3, q5, [x18, #32]
	stp	q1, q2, [x18]
	b.ne	.LBB1_9
	b	.LBB1_6
.LBB1_12:                               // %r.parallel.2.head.preheader
	cmp	x23, #1
	b.lt	.LBB1_14
// %bb.13:                              // %j.parallel.3.head.preheader.lr.ph
	tst	w21, #0x1
	mov	x0, x19
	mov	x2, x22
	csel	x8, x22, xzr, ne
	ldp	x22, x21, [sp, #32]             // 16-byte Folded Reload
	add	x1, x20, x8
	ldp	x20, x19, [sp, #48]             // 16-byte Folded Reload
	ldp	x24, x23, [sp, #16]             // 16-byte Folded Reload
	ldp	x30, x25, [sp], #64             // 16-byte Folded Reload
	b	memcpy
.LBB1_14:                               // %r.parallel.2.exit
	ldp	x20, x19, [sp, #48]             // 16-byte Folded Reload
	ldp	x22, x21, [sp, #32]             // 16-byte Folded Reload
	ldp	x24, x23, [sp, #16]             // 16-byte Folded Reload
	ldp	x30, x25, [sp], #64             // 16-byte Folded Reload
	ret
.Lfunc_end1:
