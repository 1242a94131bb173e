# loops, with the instructions of each outside of the loops in it
#   loop                            label  fma  mul  add  loads  broadcasts  stores  spills  reloads  calls
#   for t in range(0, T)            BB1_4    .    .    .      .           .       .       1        2      .
#     for j in parallel(0, 64, 32)  BB1_5    .    .    .      .           .       .       .        .      .
#       for r in parallel(0, B)     BB1_7    .    .    2      2           .       2       .        .      .
#         for k in range(0, 64)     BB1_8    2    .    .      2           1       .       .        .      .  <== hottest loop of the scan
	.text
	.globl	rnncc.cell
rnncc.cell:                             # @rnncc.cell
# %bb.0:
	pushq	%rax
	movq	(%rdi), %rax
	movq	8(%rdi), %r10
	movq	16(%rdi), %rdx
	movq	24(%rdi), %rcx
	movq	(%rsi), %r8
	movq	8(%rsi), %r9
	movq	%rax, %rdi
	movq	%r10, %rsi
	callq	rnncc.body
	xorl	%eax, %eax
	popq	%rcx
	retq
.Lfunc_end0:
rnncc.body:                             # @rnncc.body
# %bb.0:                                # %entry
	pushq	%rbp
	pushq	%r15
	pushq	%r14
	pushq	%r13
	pushq	%r12
	pushq	%rbx
	subq	$24, %rsp
	movq	%r9, (%rsp)                     # 8-byte Spill
	movq	%r8, %rbx
	movq	%rcx, 8(%rsp)                   # 8-byte Spill
	movq	%rdx, %r15
	movq	%rsi, %r13
	movq	%rdi, %rbp
	testq	%r8, %r8
	jle	.LBB1_2
# %bb.1:                                # %j.parallel.head.preheader.preheader
	movq	%rbx, %rdx
	shlq	$8, %rdx
	movq	%r15, %rdi
	xorl	%esi, %esi
	callq	memset@PLT
.LBB1_2:                                # %t.range.head.preheader
	cmpq	$0, (%rsp)                      # 8-byte Folded Reload
	jle	.LBB1_12
# %bb.3:                                # %j.parallel.2.head.preheader.preheader
	addq	$4096, %rbp                     # imm = 0x1000
	xorl	%esi, %esi
	vxorps	%xmm0, %xmm0, %xmm0
	jmp	.LBB1_4
.LBB1_11:                               # %t.range.latch
	movq	16(%rsp), %rsi                  # 8-byte Reload
	incq	%rsi
	cmpq	(%rsp), %rsi                    # 8-byte Folded Reload
	je	.LBB1_12

# ---- for t in range(0, T), depth 1 ----
.LBB1_4:                                # %j.parallel.2.head.preheader
	movl	%esi, %ecx
	notl	%ecx
	testb	$1, %sil
	movl	$0, %eax
	cmovneq	%rbx, %rax
	movq	%rsi, 16(%rsp)                  # 8-byte Spill
	imulq	%rbx, %rsi
	andl	$1, %ecx
	imulq	%rbx, %rcx
	shlq	$8, %rax
	addq	%r15, %rax
	movb	$1, %dil
	xorl	%r8d, %r8d
	jmp	.LBB1_5
.LBB1_10:                               # %j.parallel.2.latch
	movl	$32, %r8d
	testb	$1, %dil
	movl	$0, %edi
	je	.LBB1_11

# ---- for j in parallel(0, 64, 32), depth 2    inside of t ----
.LBB1_5:                                # %r.parallel.head.preheader
	testq	%rbx, %rbx
	jle	.LBB1_10
# %bb.6:                                # %k.range.head.preheader.lr.ph
	movq	%r8, %r9
	shlq	$8, %r9
	addq	%rbp, %r9
	movq	%r8, %r10
	orq	$16, %r10
	movq	%rax, %rdx
	xorl	%r14d, %r14d

# ---- for r in parallel(0, B), depth 3    inside of t > j ----
.LBB1_7:                                # %k.range.head.preheader
	vxorps	%xmm1, %xmm1, %xmm1
	movq	$-4096, %r12                    # imm = 0xF000
	movq	%rdx, %r11
	vxorps	%xmm2, %xmm2, %xmm2

# ==== scan step t: inner loop over k: 2 fma, 2 loads (64 B), 1 broadcast, 0 spills ====
#      for k in range(0, 64)    inside of t > j > r
.LBB1_8:                                # %k.range
	vbroadcastss	(%r11), %zmm3
	vfmadd231ps	(%r9,%r12), %zmm3, %zmm2 # zmm2 = (zmm3 * mem) + zmm2
	vfmadd231ps	4096(%r9,%r12), %zmm3, %zmm1 # zmm1 = (zmm3 * mem) + zmm1
	addq	$4, %r11
	addq	$64, %r12
	jne	.LBB1_8
# %bb.9:                                # %k.range.exit
	leaq	(%r14,%rsi), %r11
	shlq	$8, %r11
	addq	%r13, %r11
	vaddps	(%r11,%r8,4), %zmm2, %zmm2
	vmaxps	%zmm0, %zmm2, %zmm3
	vcmpunordps	%zmm2, %zmm2, %k1
	vmovaps	%zmm2, %zmm3 {%k1}
	leaq	(%r14,%rcx), %r12
	shlq	$8, %r12
	addq	%r15, %r12
	vmovups	%zmm3, (%r12,%r8,4)
	vaddps	(%r11,%r10,4), %zmm1, %zmm1
	vmaxps	%zmm0, %zmm1, %zmm2
	vcmpunordps	%zmm1, %zmm1, %k1
	vmovaps	%zmm1, %zmm2 {%k1}
	vmovups	%zmm2, (%r12,%r10,4)
	incq	%r14
	addq	$256, %rdx                      # imm = 0x100
	cmpq	%rbx, %r14
	jne	.LBB1_7
	jmp	.LBB1_10
.LBB1_12:                               # %r.parallel.2.head.preheader
	testq	%rbx, %rbx
	jle	.LBB1_13
# %bb.14:                               # %j.parallel.3.head.preheader.lr.ph
	shlq	$8, %rbx
	xorl	%eax, %eax
	testb	$1, (%rsp)                      # 1-byte Folded Reload
	cmovneq	%rbx, %rax
	addq	%rax, %r15
	movq	8(%rsp), %rdi                   # 8-byte Reload
	movq	%r15, %rsi
	movq	%rbx, %rdx
	addq	$24, %rsp
	popq	%rbx
	popq	%r12
	popq	%r13
	popq	%r14
	popq	%r15
	popq	%rbp
	vzeroupper
	jmp	memcpy@PLT                      # TAILCALL
.LBB1_13:                               # %r.parallel.2.exit
	addq	$24, %rsp
	popq	%rbx
	popq	%r12
	popq	%r13
	popq	%r14
	popq	%r15
	popq	%rbp
	vzeroupper
	retq
.Lfunc_end1:
