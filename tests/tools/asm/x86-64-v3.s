	.file	"<string>"
	.text
	.globl	rnncc.cell                      # -- Begin function rnncc.cell
	.p2align	4
	.type	rnncc.cell,@function
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
	.size	rnncc.cell, .Lfunc_end0-rnncc.cell
                                        # -- End function
	.p2align	4                               # -- Begin function rnncc.body
	.type	rnncc.body,@function
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
	.p2align	4
.LBB1_11:                               # %t.range.latch
                                        #   in Loop: Header=BB1_4 Depth=1
	movq	16(%rsp), %rsi                  # 8-byte Reload
	incq	%rsi
	cmpq	(%rsp), %rsi                    # 8-byte Folded Reload
	je	.LBB1_12
.LBB1_4:                                # %j.parallel.2.head.preheader
                                        # =>This Loop Header: Depth=1
                                        #     Child Loop BB1_5 Depth 2
                                        #       Child Loop BB1_7 Depth 3
                                        #         Child Loop BB1_8 Depth 4
	movl	%esi, %ecx
	testb	$1, %sil
	movl	$0, %eax
	cmovneq	%rbx, %rax
	notl	%ecx
	movq	%rsi, 16(%rsp)                  # 8-byte Spill
	imulq	%rbx, %rsi
	andl	$1, %ecx
	imulq	%rbx, %rcx
	shlq	$8, %rax
	addq	%r15, %rax
	movb	$1, %dil
	xorl	%r8d, %r8d
	jmp	.LBB1_5
	.p2align	4
.LBB1_10:                               # %j.parallel.2.latch
                                        #   in Loop: Header=BB1_5 Depth=2
	movl	$32, %r8d
	testb	$1, %dil
	movl	$0, %edi
	je	.LBB1_11
.LBB1_5:                                # %r.parallel.head.preheader
                                        #   Parent Loop BB1_4 Depth=1
                                        # =>  This Loop Header: Depth=2
                                        #       Child Loop BB1_7 Depth 3
                                        #         Child Loop BB1_8 Depth 4
	testq	%rbx, %rbx
	jle	.LBB1_10
# %bb.6:                                # %k.range.head.preheader.lr.ph
                                        #   in Loop: Header=BB1_5 Depth=2
	movq	%r8, %r9
	shlq	$8, %r9
	addq	%rbp, %r9
	movq	%r8, %r10
	orq	$16, %r10
	movq	%rax, %rdx
	xorl	%r14d, %r14d
	.p2align	4
.LBB1_7:                                # %k.range.head.preheader
                                        #   Parent Loop BB1_4 Depth=1
                                        #     Parent Loop BB1_5 Depth=2
                                        # =>    This Loop Header: Depth=3
                                        #         Child Loop BB1_8 Depth 4
	vxorps	%xmm3, %xmm3, %xmm3
	movq	$-4096, %r12                    # imm = 0xF000
	movq	%rdx, %r11
	vxorps	%xmm1, %xmm1, %xmm1
	vxorps	%xmm2, %xmm2, %xmm2
	vxorps	%xmm4, %xmm4, %xmm4
	.p2align	4
.LBB1_8:                                # %k.range
                                        #   Parent Loop BB1_4 Depth=1
                                        #     Parent Loop BB1_5 Depth=2
                                        #       Parent Loop BB1_7 Depth=3
                                        # =>      This Inner Loop Header: Depth=4
	vbroadcastss	(%r11), %ymm5
	vfmadd231ps	32(%r9,%r12), %ymm5, %ymm3 # ymm3 = (ymm5 * mem) + ymm3
	vfmadd231ps	(%r9,%r12), %ymm5, %ymm4 # ymm4 = (ymm5 * mem) + ymm4
	vfmadd231ps	4128(%r9,%r12), %ymm5, %ymm2 # ymm2 = (ymm5 * mem) + ymm2
	vfmadd231ps	4096(%r9,%r12), %ymm5, %ymm1 # ymm1 = (ymm5 * mem) + ymm1
	addq	$4, %r11
	addq	$64, %r12
	jne	.LBB1_8
# %bb.9:                                # %k.range.exit
                                        #   in Loop: Header=BB1_7 Depth=3
	leaq	(%r14,%rsi), %r11
	shlq	$8, %r11
	addq	%r13, %r11
	vaddps	32(%r11,%r8,4), %ymm3, %ymm3
	vaddps	(%r11,%r8,4), %ymm4, %ymm4
	vmaxps	%ymm0, %ymm4, %ymm5
	vcmpunordps	%ymm4, %ymm4, %ymm6
	vblendvps	%ymm6, %ymm4, %ymm5, %ymm4
	vmaxps	%ymm0, %ymm3, %ymm5
	vcmpunordps	%ymm3, %ymm3, %ymm6
	vblendvps	%ymm6, %ymm3, %ymm5, %ymm3
	leaq	(%r14,%rcx), %r12
	shlq	$8, %r12
	addq	%r15, %r12
	vmovups	%ymm3, 32(%r12,%r8,4)
	vmovups	%ymm4, (%r12,%r8,4)
	vaddps	32(%r11,%r10,4), %ymm2, %ymm2
	vaddps	(%r11,%r10,4), %ymm1, %ymm1
	vmaxps	%ymm0, %ymm1, %ymm3
	vcmpunordps	%ymm1, %ymm1, %ymm4
	vblendvps	%ymm4, %ymm1, %ymm3, %ymm1
	vmaxps	%ymm0, %ymm2, %ymm3
	vcmpunordps	%ymm2, %ymm2, %ymm4
	vblendvps	%ymm4, %ymm2, %ymm3, %ymm2
	vmovups	%ymm2, 32(%r12,%r10,4)
	vmovups	%ymm1, (%r12,%r10,4)
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
	.size	rnncc.body, .Lfunc_end1-rnncc.body
                                        # -- End function
	.section	".note.GNU-stack","",@progbits
